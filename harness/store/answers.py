"""What the Hub answers when it does not give what was asked for, in words for a user."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator
from typing import Any

from harness.errors import RemoteError
from harness.store.files import StoreError
from harness.store.scrub import one_line

TRANSIENT = {408, 429, 500, 502, 503, 504}
_ADVICE = {
    401: "the login was refused; set HF_TOKEN to a valid token, or use hf auth login",
    403: "this login may not do that",
    404: "there is no such repository, commit or file, or this login may not see it",
    409: "somebody else is changing the repository",
    412: "somebody else changed the repository",
    429: "too many requests",
}
_GATED = "the repository is gated: ask for access on its page, and log in"


class Conflict(RemoteError):
    """The repository changed between looking and committing."""


class Unreachable(RemoteError):
    """The Hub or the repository is closed to us: asking it for another file would be in vain."""


class NotNow(Exception):
    """The Hub said no for the moment."""

    def __init__(self, response: Any) -> None:
        super().__init__(f"the Hub answered {response.status_code}")
        self.response = response
        after = response.headers.get("Retry-After")
        self.after = float(after) if after and after.isdigit() else None


class GaveUp(Exception):
    """No further attempt is made."""


class TooLarge(GaveUp):
    """The Hub's file is larger than was asked for; it was not fetched."""

    def __init__(self, found: int) -> None:
        super().__init__(f"a file of {found:,} bytes")
        self.bytes = found


def explained(what: str, problem: Exception, note: str, offline: bool) -> Exception:
    """The error for ``problem``; ``note`` is added to what the Hub says."""
    if isinstance(problem, TooLarge):
        return problem
    if is_full(problem):
        return StoreError(
            f"{what}: no space left for the Hub library's cache; free some, or set HF_HOME "
            "to a folder on another disk"
        )
    if offline:
        return RemoteError(f"{what}: offline, and not in the Hub library's cache")
    found = (getattr(cause, "response", None) for cause in causes(problem))
    response = next((r for r in found if r is not None), None)
    if response is None:
        said = one_line(str(problem)) or type(problem).__name__
        return Unreachable(f"{what}: the Hub could not be reached: {said}")
    status, words = response.status_code, one_line(_words(response))
    code = response.headers.get("X-Error-Code")
    advice = _GATED if code == "GatedRepo" else _ADVICE.get(status) or "the Hub failed"
    if status == 403 and "expired" in words.lower():
        advice = "the address that it gave for this has expired; try again"
    advice += note
    if words:
        advice += f"; it says: {words}"
    kind = Conflict if status in (409, 412) else RemoteError
    if status in (*TRANSIENT, 401) or code in ("GatedRepo", "RepoNotFound"):
        kind = Unreachable
    return kind(f"{what}: {advice} (HTTP {status})")


def causes(problem: BaseException | None, *, context: bool = False) -> Iterator[BaseException]:
    """``problem`` and what it was raised from; with ``context``, also what it was raised amid."""
    while problem is not None:
        yield problem
        problem = problem.__cause__ or (problem.__context__ if context else None)


def is_full(problem: BaseException) -> bool:
    """Whether the disk is."""
    return isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT)


def _words(response: Any) -> str:
    """What the Hub, or the store that its address leads to, says of its refusal."""
    if said := response.headers.get("X-Error-Message"):
        return str(said)
    try:
        text = str(response.text)
    except RuntimeError:  # it was not read, because nobody waits that long
        return ""
    if found := re.search(r"<Message>([^<]{1,300})", text):
        return found[1]
    try:
        plain = json.loads(text)
        return str(plain.get("error") or plain.get("message") or "")
    except (ValueError, AttributeError, RecursionError):
        return "" if "<" in text else text
