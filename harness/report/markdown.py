"""``report.md``."""

from __future__ import annotations

from harness.report.candidates import too_many
from harness.report.checklist import fenced
from harness.report.chosen import EXPLAINED, any_chosen
from harness.report.notices import protocol_of, warnings
from harness.report.pictures import scale
from harness.report.pinned import TIMES, cost_table, provenance_table, time_table
from harness.report.repetitions import kind_of_seeds
from harness.report.results import Results
from harness.report.section import Drawn, Section
from harness.report.tables import (
    as_text,
    candidates_table,
    caption,
    claims_table,
    interval_table,
    main_table,
    methods_table,
    metrics_table,
    plain,
    scores_table,
)

PLOT_FILE = "trade_off.svg"
POPULATIONS = (
    "One number for many models of one method, which differ in their unlearning seed alone."
)
NOT_COMPARABLE = "Methods that see more are not comparable with those that see less."


def figure_file(position: int) -> str:
    """The name of the file that holds the drawing of a figure."""
    return f"figure_{position + 1}.svg"


def trigger_file(position: int) -> str:
    """The name of the file that holds the pictures of one trigger."""
    return f"trigger_{position + 1}.png"


def markdown(results: Results, drawn: Drawn) -> str:
    """The whole report; what is drawn lies beside it."""
    parts = [*_top(results), *_numbers(results, drawn), *_candidates(results)]
    parts += [*_drawings(drawn), *_details(results), *_provenance(results)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _top(results: Results) -> list[str]:
    spec = results.spec
    parts = [f"# {spec['id']} {spec['version']}", plain(protocol_of(spec)), plain(spec["note"])]
    return parts + [f"> **{plain(warning)}**" for warning in warnings(results)]


def _numbers(results: Results, drawn: Drawn) -> list[str]:
    parts = []
    if results.verdicts:
        parts += ["## Claims beside ours", as_text(claims_table(results), "github")]
    parts += ["## Results", caption(results), as_text(main_table(results), "github")]
    if drawn.plot is not None:
        parts += [f"![trade-off between the methods]({PLOT_FILE})", *map(plain, drawn.plot_notes)]
    seeds = kind_of_seeds(results.spec)
    return [
        *parts,
        "### 95 % intervals of the mean",
        f"Student's t over the {seeds}; wide where {seeds} are few.",
        as_text(interval_table(results), "github"),
        *_scores(results),
    ]


def _scores(results: Results) -> list[str]:
    if not results.scores:
        return []
    return ["### Populations of models", POPULATIONS, as_text(scores_table(results), "github")]


def _candidates(results: Results) -> list[str]:
    if too_many(results):
        where = "in [results.json](results.json) and in `harness report FOLDER --format csv`"
        return ["### Candidates", f"The candidates of every cell are {where}."]
    tried = candidates_table(results)
    if not tried[1]:
        return []
    return ["### Candidates", "All that were tried.", as_text(tried, "github")]


def _drawings(drawn: Drawn) -> list[str]:
    parts = ["## Figures"] if drawn.figures else []
    for i, figure in enumerate(drawn.figures):
        parts += _section(figure, figure_file(i))
    parts += ["## Triggers"] if drawn.triggers else []
    for i, (title, images) in enumerate(drawn.triggers):
        parts += [f"![{plain(title)}]({trigger_file(i)})", plain(scale(images))]
    parts += ["## Beside other profiles"] if drawn.profiles else []
    for other in drawn.profiles:
        parts += _section(other)
    return parts


def _section(section: Section, file: str = "") -> list[str]:
    title = plain(section.title)
    parts = [f"### {title}"]
    parts += [f"![{title}]({file})"] if section.drawing is not None else []
    parts += map(plain, section.notes)
    for name, table in section.tables:
        parts += [plain(name), as_text(table, "github")]
    return parts


def _details(results: Results) -> list[str]:
    times = time_table(results)
    return [
        "## Methods",
        NOT_COMPARABLE,
        EXPLAINED if any_chosen(results) else "",
        as_text(methods_table(results), "github"),
        "## Metrics",
        as_text(metrics_table(results), "github"),
        "## Cost",
        as_text(cost_table(results), "github"),
        *([TIMES, as_text(times, "github")] if times[1] else []),
    ]


def _provenance(results: Results) -> list[str]:
    return [
        "## Provenance",
        as_text(provenance_table(results), "github"),
        "## How to run it again",
        fenced(results.provenance.command or ""),
        "See also [checklist.md](checklist.md) and [results.json](results.json).",
    ]
