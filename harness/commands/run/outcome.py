"""Runs a plan, writes its report, and says how it ended."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

from harness.execute import environment
from harness.execute.limits import memory_limit
from harness.execute.run import Finished, RunOptions, run_plan
from harness.plan.kinds import store_at
from harness.report import write_report
from harness.report.gather import Findings, gather
from harness.report.notices import of_code
from harness.report.record import from_plain
from harness.report.results import Git, Machine, Provenance, Results, StageSources
from harness.spec.origins import Row
from harness.store.files import refuse_unwritable

_EXIT_CODES = {"OverBudget": 3, "IntegrityError": 4, "RemoteError": 5}


@frozen(kw_only=True)
class RunRequest(RunOptions):
    """What ``harness run`` was asked to do."""

    spec_file: Path
    profile: str | None
    changes: tuple[str, ...]
    origins: list[Row]
    command: str
    out: Path
    limit_memory_gb: float | None = None


@frozen
class Outcome:
    """What a run says at its end."""

    text: str
    exit_code: int
    results: Results


def run_spec(request: RunRequest) -> Outcome:
    """Compute what is missing, write the report, and say how it ended.

    Raises:
        HarnessError: the report could not be written; nothing was computed.
        OverBudget, Interrupted: stopped early; what is finished is in the store.
        IntegrityError: what the Hub sent is not what the registry says; nothing was computed.
    """
    refuse_unwritable("the report folder (--out)", request.out)
    with memory_limit(request.limit_memory_gb):
        return _run(request)


def _run(request: RunRequest) -> Outcome:
    finished = run_plan(request)
    results = gather(
        request.plan,
        store_at(request.store),
        Findings(finished.measured, finished.chosen, finished.failed, finished.stopped),
        _provenance(request, finished),
        profile=request.profile,
        changes=request.changes,
        origins=request.origins,
    )
    if results.rows:
        write_report(results, request.out)
    return Outcome(_text(request, finished, results), _exit_code(finished), results)


def _provenance(request: RunRequest, finished: Finished) -> Provenance:
    home = request.spec_file.resolve().parent
    git = environment.git_state(home)
    return Provenance(
        started=finished.started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(finished.seconds, 2),
        command=request.command,
        machine=from_plain(Machine, environment.machine(finished.devices)),
        versions=environment.versions(),
        packages=environment.packages(environment.imported() | finished.imported),
        plugins=dict(environment.plugins()),
        threads=tuple(finished.threads),
        git=None if git is None else Git(**git),
        constraints=environment.constraints_digest(home),
        deterministic=request.plan.spec.deterministic,
        stages=StageSources(finished.computed, finished.fetched_from, finished.apart),
    )


def _text(request: RunRequest, finished: Finished, results: Results) -> str:
    lines = [f"nothing was measured, so no report is written and {request.out} stays as it is"]
    if results.rows:
        lines = [results.summary(shutil.get_terminal_size((120, 24)).columns), ""]
        if results.verdicts:
            found = Counter(claim.verdict for claim in results.verdicts)
            counts = ", ".join(f"{count} {verdict}" for verdict, count in found.items())
            lines += [f"claims of the paper: {counts} (each with its reason in the report)", ""]
        lines.append(f"report: {request.out / 'report.html'} and {request.out / 'report.md'}")
    return "\n".join([*lines, *of_code(results), *_failures(request, finished)])


def _failures(request: RunRequest, finished: Finished) -> list[str]:
    if not finished.failed:
        return []
    many = f"{len(finished.failed)} stages failed, {len(finished.stopped)} were not run:"
    lines = ["", many]
    for key, reason in finished.failed.items():
        lines.append(f"  {request.plan.describe(key)}: {reason}")
        if trace := finished.traces.get(key):
            lines += ["", trace]
    return lines


def _exit_code(finished: Finished) -> int:
    if not finished.failed:
        return 0
    kinds = set(finished.errors.values())
    return _EXIT_CODES.get(kinds.pop(), 1) if len(kinds) == 1 else 1
