"""An author's checklist as Markdown or LaTeX."""

from __future__ import annotations

from harness.report.author_checklists import AUTHORS, Item, items
from harness.report.checklist import checklist, command_section
from harness.report.latex import latex_plain
from harness.report.proof import WHERE
from harness.report.results import Results
from harness.report.tables import plain

TITLES = {
    "variables": "Reproducibility variables",
    "neurips": "NeurIPS paper checklist",
    "ml-reproducibility": "Machine learning reproducibility checklist v2.0",
}
FILLED = (
    "Filled in from the record of a run. An answer stands only where that record proves a yes; "
    f"every other item is marked: {AUTHORS}. What the record says holds for this run, not for "
    "the paper."
)
# The commands of the NeurIPS style, for documents without it.
COMMANDS = r"""\providecommand{\answerYes}[1][]{[Yes] #1}
\providecommand{\answerTODO}[1][]{[TODO] #1}"""


def author_checklist(kind: str, form: str, results: Results) -> str:
    """The checklist ``kind`` as ``markdown`` or ``latex``."""
    if form == "latex":
        return _latex(kind, results)
    return checklist(results) if kind == "variables" else _markdown(kind, results)


def _markdown(kind: str, results: Results) -> str:
    spec = results.spec
    parts = [f"# {TITLES[kind]}: {spec['id']} {spec['version']}", FILLED]
    for number, item in enumerate(items(kind, results), 1):
        note = f" ({item.note})" if item.note else ""
        answer = f"Yes{note}" if item.proved else AUTHORS.upper()
        lines = [f"## {number}. {item.title}", item.asks, f"**Answer: {answer}**"]
        parts += [*lines, *([plain(item.proof).replace("$", r"\$")] if item.proof else [])]
    return "\n\n".join([*parts, *command_section(results)]) + "\n"


def _latex(kind: str, results: Results) -> str:
    spec = results.spec
    title = latex_plain(f"{TITLES[kind]}: {spec['id']} {spec['version']}")
    shown = "".join(_latex_item(kind, item) for item in items(kind, results))
    return (
        f"{COMMANDS}\n\\section*{{{title}}}\n{latex_plain(FILLED)}\n"
        f"\\begin{{enumerate}}\n{shown}\\end{{enumerate}}\n{_latex_command(results)}"
    )


def _latex_command(results: Results) -> str:
    """The command in letters that can be copied: its quotes and hyphens stay what they are."""
    text = results.provenance.command
    if not text:
        return ""
    typed = latex_plain(text).replace("'", r"\textquotesingle{}")
    return f"The command. {latex_plain(WHERE)}\n\n\\noindent\\texttt{{{typed}}}\n"


def _latex_item(kind: str, item: Item) -> str:
    lines = [rf"\item \textbf{{{latex_plain(item.title)}}}", rf"\item[] {latex_plain(item.asks)}"]
    if kind != "variables":
        note = f" {latex_plain(f'({item.note})')}" if item.note else ""
        answer = rf"\answerYes{{}}{note}" if item.proved else rf"\answerTODO{{}} {AUTHORS}"
        lines.append(rf"\item[] Answer: {answer}")
    if item.proof:
        lines.append(rf"\item[] {latex_plain(item.proof)}")
    return "".join(f"  {line}\n" for line in lines)
