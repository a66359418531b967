"""``report.html``: one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import yaml

from harness.report.checklist import checklist_table
from harness.report.markdown import origin, warnings
from harness.report.tables import (
    Table,
    as_text,
    claims_table,
    interval_table,
    main_table,
    methods_table,
)

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c1c1c; background: #fff; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ccc; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: left; }
td { white-space: nowrap; } .wrap td { white-space: normal; }
thead th { border-bottom: 2px solid #888; white-space: nowrap; }
tbody tr:hover { background: #8881; }
.warn { border-left: 4px solid #D55E00; padding: .4rem .8rem; background: #d55e0018; }
.plot { background: #fff; padding: .5rem; max-width: 100%; }
.plot svg { max-width: 100%; height: auto; }
pre { overflow-x: auto; background: #8881; padding: .8rem; font-size: 12.5px; }
@media (prefers-color-scheme: dark) { body { color: #e4e4e4; background: #161616; }
  th, td { border-color: #444; } }
"""


def page(results: Mapping[str, Any], plot: str | None) -> str:
    """The whole report; ``plot`` is SVG of our own. All text from specs is escaped."""
    spec = results["spec"]
    title = escape(f"{spec['id']} {spec['version']}")
    parts = [f"<h1>{title}</h1>", f"<p>{escape(origin(results))}</p>"]
    parts += [f"<p>{escape(spec['note'])}</p>"] if spec["note"] else []
    parts += [f'<p class="warn">{escape(warning)}</p>' for warning in warnings(results)]
    if results["claims"]:
        parts += ["<h2>Claims beside ours</h2>", _table(claims_table(results), "wrap")]
    parts += [
        "<h2>Results</h2>",
        "<p>Mean ± standard deviation over n seeds; shares in [0, 1].</p>",
        _table(main_table(results)),
    ]
    if plot is not None:
        parts.append(f'<div class="plot">{plot}</div>')
    parts += [
        "<h3>95 % intervals of the mean</h3>",
        _table(interval_table(results)),
        "<h2>Methods</h2>",
        "<p>Methods that see more are not comparable with those that see less.</p>",
        _table(methods_table(results), "wrap"),
        "<h2>Reproducibility checklist</h2>",
        _table(checklist_table(results), "wrap"),
        "<h2>Every setting</h2>",
        f"<pre>{escape(yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True))}</pre>",
        "<h2>How to run it again</h2>",
        f"<pre>{escape(results['provenance']['command'])}</pre>",
    ]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>"
    )
    return head + "\n".join(parts) + "</body></html>\n"


def _table(table: Table, kind: str = "scroll") -> str:
    return f'<div class="{kind}">{as_text(table, "html")}</div>'
