"""The errors a user can meet, each with its exit code.

``HarnessError`` and its children are shown as one message without a traceback (unless
``--debug``). Anything else that escapes is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 100  # characters of a value that a message shows


class HarnessError(Exception):
    """A condition that the user can understand and mend. ``exit_code`` is the process's status."""

    exit_code = 1


class StageFailed(HarnessError):
    """One or more stages raised; what depends on them did not run."""


class Diverged(HarnessError):
    """A training left the finite numbers. Of a candidate of a method that is a result."""


class UsageError(HarnessError):
    """The command line is wrong; nothing ran."""

    exit_code = 2


class OverBudget(HarnessError):
    """The plan or a method costs more than the spec allows; nothing is lost."""

    exit_code = 3


class IntegrityError(HarnessError):
    """A file is not what its hash says."""

    exit_code = 4


class RemoteError(HarnessError):
    """A data source or the Hub could not be reached or refused."""

    exit_code = 5


class Interrupted(HarnessError):
    """The user asked to stop; finished work is kept."""

    exit_code = 130


def nearest(found: str, allowed: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the closest of ``allowed``, or an empty string.

    ``CIFAR-10`` and ``cifar10`` are the same to a reader, and so they are here.
    """
    plain = {re.sub(r"[-_ ]", "", name.lower()): name for name in allowed}
    wanted = re.sub(r"[-_ ]", "", found[:LONGEST].lower())
    close = get_close_matches(wanted, plain, n=1, cutoff=0.6)
    return f"; did you mean {plain[close[0]]!r}?" if close else ""


def short(text: str) -> str:
    """``text``, cut to ``LONGEST`` characters."""
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def cut(text: str) -> str:
    """``text`` with each word, as a value that was found, of at most ``LONGEST`` characters.

    Of a path, its end is kept: the file's name and the line.
    """

    def less(word: re.Match[str]) -> str:
        return "..." + word[0][3 - LONGEST :] if "/" in word[0] else short(word[0])

    return re.sub(rf"[^\s;,]{{{LONGEST + 1},}}", less, text)
