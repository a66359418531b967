"""What a report says, in its order: both of its forms render these sections."""

from __future__ import annotations

from collections.abc import Iterator

from harness.report.candidates import too_many
from harness.report.checklist import ORIGINS, checklist_table
from harness.report.chosen import any_chosen, explained
from harness.report.coverage import beside_budget
from harness.report.notices import MOST, warnings
from harness.report.numbers import NOTHING
from harness.report.pictures import scale
from harness.report.pinned import (
    TIMES,
    cost_table,
    origins_table,
    origins_text,
    provenance_table,
    settings_text,
    time_table,
)
from harness.report.populations import (
    gaps_text,
    rank_table,
    ranked,
    rejected_text,
    scores_table,
)
from harness.report.repetitions import kind_of_seeds
from harness.report.results import Results
from harness.report.section import Drawn, Section
from harness.report.tables import (
    Table,
    candidates_table,
    cells_table,
    chosen_table,
    claims_table,
    many_cells,
    method_caption,
    method_table,
    methods_table,
    metrics_table,
)

PLOT_FILE = "trade_off.svg"
CANDIDATES_FILE = "candidates.csv"
MEASURED = "Means over cells and seeds; every row as it was measured is in"
POPULATIONS = (
    "One number for many models of one method, which differ in their unlearning seed alone. "
    "Numbers of other counts of models are not comparable."
)
INTERVALS = "Mean and its 95 % interval: Student's t over the {}, wide where they are few."
MANY_CELLS = "Means over seeds. Spread and intervals: harness report FOLDER --by cell --format csv."
NOT_COMPARABLE = "Methods that see more are not comparable with those that see less."


def figure_file(position: int) -> str:
    """The name of the file that holds the drawing of a figure."""
    return f"figure_{position + 1}.svg"


def trigger_file(position: int) -> str:
    """The name of the file that holds the pictures of one trigger."""
    return f"trigger_{position + 1}.png"


def outline(results: Results, drawn: Drawn) -> list[Section]:
    """Every section; what follows from nothing is left out."""
    every = [*_answers(results, drawn), *_numbers(results, drawn), *_run(results)]
    return [s for s in every if s.notes or s.drawing or s.tables or s.code or s.parts]


def _answers(results: Results, drawn: Drawn) -> Iterator[Section]:
    methods = ("Every method over all cells", method_table(results, facts=True))
    if _of_cells(results):
        yield _by_cell(results, folded=False)
    else:
        yield Section("Results", (method_caption(results),), tables=(methods,))
    if results.scores:
        ranks = [
            (gaps_text(results, name, rows), (f"By {name}", rank_table(results, name, rows)))
            for name, rows in ranked(results)
        ]
        notes = POPULATIONS, *(text for text, _ in ranks), rejected_text(results)
        tables = *(table for _, table in ranks), ("Every population", scores_table(results))
        yield Section("Populations of models", tuple(filter(None, notes)), tables=tables)
    if drawn.plot is not None:
        yield Section("Trade-off", drawn.plot_notes, drawn.plot, file=PLOT_FILE)


def _of_cells(results: Results) -> bool:
    """Whether what is compared are cells: a mean over them says nothing of the only method."""
    return len(results.order.methods) == 1 and len(results.order.cells) > 1


def _by_cell(results: Results, folded: bool) -> Section:
    shown = MANY_CELLS if many_cells(results) else INTERVALS.format(kind_of_seeds(results.spec))
    notes = tuple(filter(None, (shown, beside_budget(results))))
    cells = ("Every method in every cell", cells_table(results))
    return Section("Results by cell", notes, tables=(cells,), folded=folded)


def _numbers(results: Results, drawn: Drawn) -> Iterator[Section]:
    every = tuple(warnings(results))
    yield Section("Notices", every if len(every) > MOST else (), folded=True)
    yield Section("Claims beside ours", tables=tuple(_claims(results)), folded=True)
    if not _of_cells(results):
        yield _by_cell(results, folded=True)
    yield Section("Figures", parts=drawn.figures, folded=not _of_cells(results))
    triggers = tuple(
        Section(title, (scale(images),), images=images, file=trigger_file(i))
        for i, (title, images) in enumerate(drawn.triggers)
    )
    written = [(t.title, "\n\n".join(t.texts)) for t in results.triggers]
    triggers += tuple(Section(title, code=text) for title, text in written if text)
    yield Section("Corrupted samples", parts=triggers, folded=True)
    yield Section("Beside other profiles", parts=drawn.profiles, folded=True)
    yield _candidates(results)


def _claims(results: Results) -> Iterator[tuple[str, Table]]:
    """A table for each verdict with its reason, which all of its rows share."""
    headers, rows = claims_table(results)
    for verdict, why in dict.fromkeys((row[-2], row[-1]) for row in rows):
        same = [row[:-2] for row in rows if row[-2:] == [verdict, why]]
        yield f"{len(same)} {verdict}{f': {why}' if why != NOTHING else ''}", (headers[:-2], same)


def _candidates(results: Results) -> Section:
    many = too_many(results)
    notes = (f"{MEASURED} {CANDIDATES_FILE}",) if many else ()
    name = "Every candidate over all cells" if many else "Every candidate that was tried"
    table = candidates_table(results, by_cell=not many)
    tables = ("What was chosen, and by which rule", chosen_table(results)), (name, table)
    return Section("Candidates", notes, tables=tables if table[1] else (), folded=True)


def _run(results: Results) -> Iterator[Section]:
    notes = (NOT_COMPARABLE, explained(results)) if any_chosen(results) else (NOT_COMPARABLE,)
    methods = ("What a method is and may see", methods_table(results))
    yield Section("Methods", notes, tables=(methods,), folded=True)
    metrics = ("What a metric means", metrics_table(results))
    yield Section("Metrics", tables=(metrics,), folded=True)
    times = time_table(results)
    timed = ((TIMES, times),) if times[1] else ()
    stages = ("Stages of the plan by kind.", cost_table(results))
    yield Section("Cost", tables=(stages, *timed), folded=True)
    checklist = ("The variables of Gundersen et al.", checklist_table(results))
    yield Section("Reproducibility checklist", tables=(checklist,), folded=True)
    if counted := origins_text(results):
        origins = (("Every value of the spec", origins_table(results)),)
        notes = (f"{ORIGINS} The {counted}.",)
        yield Section("Where the values come from", notes, tables=origins, folded=True)
    settings = settings_text(results.spec)
    yield Section("Every resolved setting", code=settings, folded=True)
    provenance = ("Where the numbers come from", provenance_table(results))
    yield Section("Provenance", tables=(provenance,), folded=True)
    yield Section("How to run it again", code=results.provenance.command or "", folded=True)
