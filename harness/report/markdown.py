"""``report.md``."""

from __future__ import annotations

from collections.abc import Iterator

from harness.report.answer import answer, box, links
from harness.report.checklist import fenced
from harness.report.outline import outline
from harness.report.results import Results
from harness.report.section import Drawn, Section
from harness.report.tables import as_text, plain


def markdown(results: Results, drawn: Drawn) -> str:
    """The whole report; what is drawn lies beside it."""
    spec = results.spec
    parts = [f"# {spec['id']} {spec['version']}", f"**{plain(answer(results))}**"]
    parts += [f"- **{label}.** {plain(' '.join(told))}" for label, told in box(results)]
    parts += [" · ".join(f"[{plain(text)}]({url})" for text, url in links(results))]
    parts += [plain(spec["note"])]
    for section in outline(results, drawn):
        parts += _section(section, 2)
    parts += ["See also [checklist.md](checklist.md) and [results.json](results.json)."]
    return "\n\n".join(filter(None, parts)) + "\n"


def _section(section: Section, level: int) -> Iterator[str]:
    title = plain(section.title)
    yield f"{'#' * level} {title}"
    if section.folded:
        yield "<details><summary>Show</summary>"
    if section.file:
        yield f"![{title}]({section.file})"
    yield from map(plain, section.notes)
    for name, table in section.tables:
        yield plain(name)
        yield as_text(table, "github")
    if section.code:
        yield fenced(section.code)
    for part in section.parts:
        yield from _section(part, level + 1)
    if section.folded:
        yield "</details>"
