"""``results.json`` as it is written and read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from cattrs import AttributeValidationNote, IterableValidationNote
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError

from harness.errors import UsageError
from harness.report.asked import figures_of, paper_of
from harness.report.assemble import assemble
from harness.report.record import from_plain, to_plain
from harness.report.results import FORMAT, Results
from harness.report.shape import MOST_LEVELS, misshapen, too_much


def to_json(results: Results) -> str:
    """The text of ``results.json``: equal for equal results."""
    plain = to_plain(results)
    text = json.dumps(plain, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return text + "\n"


def read_results(folder: Path) -> Results:
    """The results in ``folder``; what follows from their rows is derived again.

    Raises:
        UsageError: there are none, or they are not of this format.
    """
    file = folder / "results.json" if folder.is_dir() else folder
    found = _json(file)
    try:
        found.pop("claims", None)  # verdicts, which are reached again
        plain = from_plain(Results, found)
        if wrong := next(misshapen(plain), None):
            raise _broken(file, wrong)
        results = assemble(plain)
        figures_of(results.spec), paper_of(results.spec)  # what is read can also be shown
    except BaseValidationError as problems:
        raise _refusal(file, *_first(problems)) from None
    except ForbiddenExtraKeysError as problem:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", getattr(problem.cl, "__name__", "")).lower()
        place = f"a {name} of the spec"
        raise _refusal(file, problem, place) from None
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as problem:
        raise _refusal(file, problem, "") from None
    return results


def _json(file: Path) -> Any:
    try:
        found = json.loads(file.read_text(encoding="utf-8"), parse_constant=_not_finite)
    except OSError as problem:
        raise UsageError(f"no results in {file}: {problem.strerror}") from None
    except RecursionError:
        raise _broken(file, f"nested deeper than {MOST_LEVELS} levels") from None
    except ValueError as problem:
        raise UsageError(f"{file} is not JSON: {problem}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UsageError(f"{file} is not a results file of format {FORMAT}")
    if why := too_much(found):
        raise _broken(file, why)
    return found


def _not_finite(constant: str) -> None:
    raise ValueError(f"{constant} is not a finite number")


def _broken(file: Path, why: str) -> UsageError:
    return UsageError(f"{file} is not a whole results file: {why}")


def _refusal(file: Path, problem: BaseException, place: str) -> UsageError:
    at = f" at {place}" if place else ""
    if not isinstance(problem, ForbiddenExtraKeysError):
        return _broken(file, f"{problem!r:.300}{at}")
    names = ", ".join(sorted(map(repr, problem.extra_fields)))
    return UsageError(
        f"{file} holds {names}{at}, which this version does not know: a newer one wrote it. "
        "Upgrade with: pip install --upgrade harness-unlearning"
    )


def _first(problem: BaseException, place: str = "") -> tuple[BaseException, str]:
    """The first thing that is wrong, and its place: ``rows[3].metrics``."""
    if not isinstance(problem, BaseValidationError):
        return problem, place
    inner = problem.exceptions[0]
    for note in getattr(inner, "__notes__", ()):
        if isinstance(note, IterableValidationNote):
            place += f"[{note.index!r}]"
        elif isinstance(note, AttributeValidationNote) and not isinstance(inner, KeyError):
            place += f".{note.name}" if place else note.name
    return _first(inner, place)
