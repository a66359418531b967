"""The checklists that a paper's authors hand in, with what a run proves already filled in.

Items are named by their official short titles; what they ask is in our words.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from harness.report import proof
from harness.report.checklist import checklist_table
from harness.report.results import Results

AUTHORS = "for the authors to answer"


@frozen
class Item:
    """One item; ``proved`` where the record of the run answers it with yes, with a ``note``
    beside that answer."""

    title: str
    asks: str
    proved: bool
    proof: str
    note: str = ""


@frozen
class _Ask:
    """An item before it meets results. ``proved`` says whether they answer it with yes."""

    title: str
    asks: str
    proofs: tuple[Callable[[Results], str], ...] = ()
    proved: Callable[[Results], bool] = lambda results: False
    note: Callable[[Results], str] = lambda results: ""


def items(kind: str, results: Results) -> list[Item]:
    """The items of the checklist ``kind``: ``variables``, ``neurips`` or ``ml-reproducibility``."""
    if kind == "variables":
        _, rows = checklist_table(results)
        asked = [(title, f"The paper: {paper}", f"This run: {run}") for title, paper, run in rows]
        return [Item(title, paper, False, run) for title, paper, run in asked]
    found = []
    for ask in {"neurips": NEURIPS, "ml-reproducibility": ML_REPRODUCIBILITY}[kind]:
        text = proof.join(*(prove(results) for prove in ask.proofs))
        found.append(Item(ask.title, ask.asks, ask.proved(results), text, ask.note(results)))
    return found


def _complete(results: Results) -> bool:
    """Whether every point of the protocol has a result."""
    return not results.failed and not results.gaps


def _data_known(results: Results) -> bool:
    return bool(results.data.digest)


def _spread_known(results: Results) -> bool:
    return proof.least_seeds(results) >= 2


def _machine_known(results: Results) -> bool:
    return bool(results.provenance.machine)


def _software_known(results: Results) -> bool:
    return bool(results.provenance.versions)


def _code_known(results: Results) -> bool:
    """Whether the commit that ran is all of the code."""
    git = results.provenance.git
    return git is not None and not git.dirty


NEURIPS = (
    _Ask("Claims", "Do abstract and introduction state what the paper shows, and its scope?"),
    _Ask("Limitations", "Are the limits of the work discussed?"),
    _Ask(
        "Theory assumptions and proofs",
        "Does every theoretical result come with its assumptions and a complete proof?",
    ),
    _Ask(
        "Experimental result reproducibility",
        "Is everything told that is needed to repeat the main results, with or without the code?",
        (proof.protocol, proof.command, proof.code, proof.data, proof.splits),
        lambda results: _complete(results) and _data_known(results) and _code_known(results),
    ),
    _Ask(
        "Open access to data and code",
        "Are data and code open, with the exact command and environment?",
        (proof.command, proof.code, proof.software, proof.data),
    ),
    _Ask(
        "Experimental setting/details",
        "Are splits, hyper-parameters, how they were chosen, and the optimiser given?",
        (proof.protocol, proof.splits, proof.training, proof.search),
        _data_known,
    ),
    _Ask(
        "Experiment statistical significance",
        "Are there error bars, and is it said what varies and how they were computed?",
        (proof.spread, proof.runs),
        _spread_known,
        proof.sample_size,
    ),
    _Ask(
        "Experiments compute resources",
        "Is it said on what machine, with how much memory and time, each and all experiments ran?",
        (proof.hardware, proof.times, proof.runs),
    ),
    _Ask("Code of ethics", "Does the work keep to the code of ethics?"),
    _Ask("Broader impacts", "Are good and bad effects on society discussed?"),
    _Ask("Safeguards", "Is a release that could be misused guarded?"),
    _Ask(
        "Licenses for existing assets",
        "Are the makers of what was used named, with version, address and licence?",
        (proof.assets,),
    ),
    _Ask(
        "New assets",
        "Is what the paper releases documented?",
        (proof.protocol, proof.code),
    ),
    _Ask(
        "Crowdsourcing and research with human subjects",
        "Are instructions and pay of participants told?",
    ),
    _Ask(
        "Institutional review board (IRB) approvals",
        "Were risks to participants told, and approvals obtained?",
    ),
    _Ask(
        "Declaration of LLM usage",
        "Is it told where a language model is an important part of the method?",
    ),
)

ML_REPRODUCIBILITY = (
    _Ask(
        "Models and algorithms: setting, algorithm, model",
        "Is each described clearly?",
        (proof.methods, proof.training),
    ),
    _Ask("Models and algorithms: assumptions", "Is each assumption explained?"),
    _Ask(
        "Models and algorithms: complexity",
        "Are time, space and sample size of each algorithm analysed?",
        (proof.times,),
    ),
    _Ask("Theoretical claims: statement", "Is each claim stated clearly?"),
    _Ask("Theoretical claims: proof", "Is each claim proved completely?"),
    _Ask(
        "Datasets: statistics",
        "Are numbers of examples and the like given?",
        (proof.data, proof.splits),
        _data_known,
    ),
    _Ask(
        "Datasets: splits",
        "Are train, validation and test splits given in detail?",
        (proof.splits,),
        _data_known,
    ),
    _Ask(
        "Datasets: excluded data and pre-processing",
        "Is every exclusion and every step of pre-processing explained?",
        (proof.changes_of_data,),
        _data_known,
    ),
    _Ask("Datasets: link", "Can the data be downloaded?", (proof.data,)),
    _Ask(
        "Datasets: collection of new data",
        "Is the collection of new data described, with instructions and quality control?",
    ),
    _Ask(
        "Shared code: dependencies",
        "Are the dependencies specified?",
        (proof.software,),
        _software_known,
    ),
    _Ask("Shared code: training code", "Is it shared?", (proof.code, proof.command)),
    _Ask("Shared code: evaluation code", "Is it shared?", (proof.code, proof.command)),
    _Ask("Shared code: (pre-)trained models", "Are they shared?"),
    _Ask(
        "Shared code: README with results and commands",
        "Does it have the table of results and the precise command for it?",
        (proof.command,),
    ),
    _Ask(
        "Results: hyper-parameters",
        "Are their ranges, how the best were chosen, and the final ones given?",
        (proof.search, proof.protocol),
        lambda results: True,
    ),
    _Ask(
        "Results: number of runs",
        "Is the exact number of training and evaluation runs given?",
        (proof.runs,),
        lambda results: True,
    ),
    _Ask(
        "Results: measures",
        "Is each measure and statistic defined?",
        (proof.measures, proof.spread),
        lambda results: True,
    ),
    _Ask(
        "Results: central tendency and variation",
        "Are means and error bars given?",
        (proof.spread,),
        _spread_known,
        proof.sample_size,
    ),
    _Ask(
        "Results: runtime or energy",
        "Is the average runtime, or the energy, of each result given?",
        (proof.times,),
        lambda results: bool(results.provenance.times),
    ),
    _Ask(
        "Results: computing infrastructure",
        "Is it described?",
        (proof.hardware, proof.software),
        _machine_known,
    ),
)
