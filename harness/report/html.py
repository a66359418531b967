"""``report.html``: one file that needs nothing else."""

from __future__ import annotations

from base64 import b64encode
from html import escape

from harness.report.candidates import too_many
from harness.report.checklist import ORIGINS, checklist_table
from harness.report.chosen import EXPLAINED, any_chosen
from harness.report.markdown import NOT_COMPARABLE, POPULATIONS
from harness.report.notices import protocol_of, warnings
from harness.report.pictures import Images, scale, strip
from harness.report.pinned import (
    TIMES,
    cost_table,
    origins_table,
    origins_text,
    provenance_table,
    settings_text,
    time_table,
)
from harness.report.repetitions import seeds_text
from harness.report.results import Results
from harness.report.section import Drawn, Section
from harness.report.style import STYLE
from harness.report.tables import (
    Table,
    as_text,
    candidates_table,
    caption,
    claims_table,
    interval_table,
    main_table,
    methods_table,
    metrics_table,
    scores_table,
)

# Nothing may be fetched and no script may run, whatever a spec's text says.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(results: Results, drawn: Drawn) -> str:
    """The whole report. All text from specs is escaped."""
    spec = results.spec
    title = escape(f"{spec['id']} {spec['version']}")
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>\n"
    )
    parts = [f"<h1>{title}</h1>", *_top(results), *_numbers(results, drawn)]
    parts += ["<h2>Figures</h2>"] if drawn.figures else []
    for figure in drawn.figures:
        parts += _section(figure)
    parts += ["<h2>Triggers</h2>"] if drawn.triggers else []
    for name, images in drawn.triggers:
        parts += [f"<h3>{escape(name)}</h3>", _pictures(images)]
    parts += ["<h2>Beside other profiles</h2>"] if drawn.profiles else []
    for other in drawn.profiles:
        parts += _section(other)
    parts += _details(results)
    return head + "\n".join(parts) + "\n</main></body></html>\n"


def _top(results: Results) -> list[str]:
    spec = results.spec
    facts = [
        f"data {results.data.name or 'not read'}",
        f"profile {results.profile or 'default'}",
        seeds_text(spec),
    ]
    parts = [
        f"<p>{escape(protocol_of(spec))}</p>",
        f'<p class="facts">{escape(" · ".join(facts))}</p>',
    ]
    parts += [f"<p>{escape(spec['note'])}</p>"] if spec["note"] else []
    return parts + [f'<p class="warn">{escape(warning)}</p>' for warning in warnings(results)]


def _numbers(results: Results, drawn: Drawn) -> list[str]:
    parts = []
    if results.verdicts:
        parts += ["<h2>Claims beside ours</h2>", _table(claims_table(results), "wrap")]
    parts += ["<h2>Results</h2>", f"<p>{escape(caption(results))}</p>", _table(main_table(results))]
    if drawn.plot is not None:
        note = escape(" ".join(drawn.plot_notes))
        parts.append(f"<figure>{drawn.plot}<figcaption>{note}</figcaption></figure>")
    parts += [_folded("95 % intervals of the mean", _table(interval_table(results)))]
    if results.scores:
        parts += ["<h2>Populations of models</h2>", f"<p>{POPULATIONS}</p>"]
        parts += [_table(scores_table(results))]
    return parts + _candidates(results)


def _candidates(results: Results) -> list[str]:
    if too_many(results):
        mean = _table(candidates_table(results, by_cell=False))
        return [_folded("Every candidate that was tried, mean over cells and seeds", mean)]
    tried = candidates_table(results)
    return [_folded("Every candidate that was tried", _table(tried))] if tried[1] else []


def _details(results: Results) -> list[str]:
    times = time_table(results)
    return [
        "<h2>Methods</h2>",
        f"<p>{NOT_COMPARABLE}</p>",
        *([f"<p>{EXPLAINED}</p>"] if any_chosen(results) else []),
        _table(methods_table(results), "wrap"),
        "<h2>Metrics</h2>",
        _table(metrics_table(results), "wrap"),
        "<h2>Cost</h2>",
        _table(cost_table(results)),
        *([f"<p>{TIMES}</p>", _table(times)] if times[1] else []),
        "<h2>Reproducibility checklist</h2>",
        _table(checklist_table(results), "wrap"),
        *_origins(results),
        "<h2>Provenance</h2>",
        _table(provenance_table(results), "wrap"),
        _folded("Every resolved setting", f"<pre>{escape(settings_text(results.spec))}</pre>"),
        "<h2>How to run it again</h2>",
        f"<pre>{escape(results.provenance.command or '')}</pre>",
    ]


def _origins(results: Results) -> list[str]:
    counted = origins_text(results)
    if not counted:
        return []
    text = f"<p>{escape(f'{ORIGINS} The {counted}.')}</p>"
    return [_folded("Where the values come from", text + _table(origins_table(results), "wrap"))]


def _section(section: Section) -> list[str]:
    title, notes = escape(section.title), escape(" ".join(section.notes))
    parts = [f"<h3>{title}</h3>"]
    if section.drawing is None:
        parts.append(f"<p>{notes}</p>")
    else:
        parts.append(f"<figure>{section.drawing}<figcaption>{notes}</figcaption></figure>")
    for name, table in section.tables:
        shown = _table(table)
        folded = _folded(escape(f"Table: {name}" if name else "Table"), shown)
        parts.append(shown if section.drawing is None else folded)
    return parts


def _pictures(images: Images) -> str:
    shown = b64encode(strip(images)).decode("ascii")
    text = escape(scale(images))
    return (
        f'<figure class="pictures"><img alt="{text}" src="data:image/png;base64,{shown}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _table(table: Table, kind: str = "exact") -> str:
    return f'<div class="scroll {kind}">{as_text(table, "html")}</div>'


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>{content}</details>"
