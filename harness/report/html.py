"""``report.html``: one file that needs nothing else."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape

from harness.report.answer import answer, box, links
from harness.report.html_table import html_table
from harness.report.outline import CANDIDATES_FILE, outline
from harness.report.pictures import Images, scale, strip
from harness.report.results import Results
from harness.report.script import SCRIPT
from harness.report.section import Drawn, Section
from harness.report.style import STYLE
from harness.report.tables import Table

LARGE = 20_000  # characters of a drawing that is not part of the page

# Only drawings that lie beside the page are fetched and only our own script runs, whatever the text
# of a spec says.
DIGEST = b64encode(sha256(SCRIPT.encode()).digest()).decode()
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    f"form-action 'none'; script-src 'sha256-{DIGEST}'"
)


def page(results: Results, drawn: Drawn) -> str:
    """The whole report. All text from specs is escaped."""
    spec = results.spec
    title = f"{spec['id']} {spec['version']}"
    sections = outline(results, drawn)
    parts = [f"<h1>{escape(title)}</h1>", *_top(results)]
    parts += [f"<p>{escape(spec['note'])}</p>"] if spec["note"] else []
    parts += [_contents(sections)]
    for section in sections:
        parts += _section(section, 2)
    return document(title, parts)


def document(title: str, parts: Iterable[str]) -> str:
    """A page that needs nothing else, of ``parts`` that are HTML already."""
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>\n"
    )
    return head + "\n".join(parts) + f"\n</main><script>{SCRIPT}</script></body></html>\n"


def _top(results: Results) -> Iterator[str]:
    yield f'<div class="box"><p class="answer">{escape(answer(results))}</p><dl>'
    for label, sentences in box(results):
        told = "".join(f"<dd>{escape(sentence)}</dd>" for sentence in sentences)
        yield f'<div class="{_anchor(label)}"><dt>{label}</dt>{told}</div>'
    found = " · ".join(
        f'<a href="{escape(url)}" rel="noreferrer">{escape(text)}</a>'
        for text, url in links(results)
    )
    yield f"<div><dt>Source</dt><dd>{found}</dd></div></dl></div>" if found else "</dl></div>"


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _contents(sections: list[Section]) -> str:
    items = "".join(f'<a href="#{_anchor(s.title)}">{escape(s.title)}</a>\n' for s in sections)
    return f'<nav aria-label="Contents">{items}</nav>'


def _section(section: Section, level: int) -> Iterator[str]:
    anchor, title = _anchor(section.title), escape(section.title)
    heading = f"<h{level}>{title}</h{level}>"
    name = f' id="{anchor}"' if level == 2 else ""
    yield (
        f"<details{name}><summary>{heading}</summary>"
        if section.folded
        else f"<section{name}>{heading}"
    )
    notes = "".join(f"<p>{_linked(escape(note))}</p>" for note in section.notes)
    if section.drawing is not None:
        yield f"<figure>{_drawing(section)}<figcaption>{notes}</figcaption></figure>"
    else:
        yield notes
    if section.images:
        yield _pictures(section.images)
    yield from (scrolled(table, caption or section.title) for caption, table in section.tables)
    if section.code:
        yield f"<pre>{escape(section.code)}</pre>"
    for part in section.parts:
        yield from _section(part, level + 1)
    yield "</details>" if section.folded else "</section>"


def _drawing(section: Section) -> str:
    """The drawing itself, or the file that holds it when it is large."""
    if section.drawing is None or len(section.drawing) < LARGE:
        return section.drawing or ""
    shown = f'<img src="{section.file}" alt="{escape(section.title)}">'
    return f'<a href="{section.file}">{shown}</a>'


def _linked(note: str) -> str:
    return note.replace(CANDIDATES_FILE, f'<a href="{CANDIDATES_FILE}">{CANDIDATES_FILE}</a>')


def _pictures(images: Images) -> str:
    shown = b64encode(strip(images)).decode("ascii")
    return (
        f'<figure class="pictures"><img alt="{escape(scale(images))}" '
        f'src="data:image/png;base64,{shown}"></figure>'
    )


def scrolled(table: Table, caption: str) -> str:
    """A table that scrolls by itself, by keyboard too; one with sentences breaks their lines."""
    headers, rows = table
    kind = "wrap" if any(len(cell) > 60 for row in rows for cell in row) else "exact"
    return (
        f'<div class="scroll {kind}" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"{html_table(headers, rows, caption)}</div>"
    )
