"""Calls of the Hub's library that end in time, whatever the Hub answers.

Each ends within about ``wait`` seconds of the first trouble, and what the Hub says is scrubbed of
tokens before anyone sees it.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from harness.errors import RemoteError, UsageError
from harness.store.files import StoreError
from harness.store.scrub import one_line

T = TypeVar("T")
ATTEMPTS = 4  # at one address in one call
_TRANSIENT = {408, 429, 500, 502, 503, 504}
_ADVICE = {
    401: "the login was refused; set HF_TOKEN to a valid token, or use hf auth login",
    403: "this login may not do that",
    404: "there is no such repository, commit or file, or this login may not see it",
    409: "somebody else is changing the repository",
    412: "somebody else changed the repository",
    429: "too many requests",
}


class Conflict(RemoteError):
    """The repository changed between looking and committing."""


class _Answer(Exception):
    """The Hub said no for the moment."""

    def __init__(self, status: int, after: float | None) -> None:
        super().__init__(f"the Hub answered {status}")
        self.status, self.after = status, after


class _GaveUp(Exception):
    """No further attempt is made."""


class TooLarge(_GaveUp):
    """The Hub's file is larger than was asked for; it was not fetched."""

    def __init__(self, found: int) -> None:
        super().__init__(f"a file of {found:,} bytes")
        self.bytes = found


class Calls:
    """Bounds around every request that the library makes during a call of ours."""

    def __init__(self, wait: float | None, offline: bool) -> None:
        self.wait = wait if wait is not None else _patience()
        self.offline = offline
        self._trouble: float | None = None
        self._attempts: Counter[tuple[str, str]] | None = None
        self._most: int | None = None  # bytes of the file that is being downloaded
        self._install()

    def _install(self) -> None:
        """Put our bounds around every request that the library makes during a call of ours."""
        import huggingface_hub as library

        if not sys.stderr.isatty():
            from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

            disable_progress_bars()
        session = library.get_session()
        # Its warnings repeat what the Hub says, unscrubbed. (Set after its own set-up.)
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        kind, before = type(session), session.event_hooks["request"]
        ours = [hook for hook in before if getattr(hook, "__self__", None).__class__ is not Calls]
        hooks: dict[str, list[Callable[..., Any]]] = {
            "request": [*ours, self._before],
            "response": [self._after],
        }
        library.set_client_factory(
            lambda: kind(event_hooks=hooks, follow_redirects=True, timeout=None)
        )

    def _before(self, request: Any) -> None:
        if self.offline:
            raise _GaveUp("offline")
        if self._attempts is None:
            return
        address = request.method, str(request.url)
        self._attempts[address] += 1
        if self._attempts[address] > ATTEMPTS or self._waited() > self.wait:
            raise _GaveUp(f"no whole answer after {ATTEMPTS} attempts")
        if self._attempts[address] > 1 and self._trouble is None:
            self._trouble = time.monotonic()
        seconds = self.wait / 3 if request.method in ("GET", "HEAD") else self.wait * 2
        limits = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {
            name: min(limits.get(name) or seconds, seconds)
            for name in ("connect", "read", "write", "pool")
        }

    def _after(self, response: Any) -> None:
        if self._attempts is not None and response.status_code in _TRANSIENT:
            raise _Answer(response.status_code, _seconds(response.headers.get("Retry-After")))
        if self._most is not None and (found := _file_bytes(response)) > self._most:
            raise TooLarge(found)

    def _waited(self) -> float:
        return 0.0 if self._trouble is None else time.monotonic() - self._trouble

    def call(self, what: str, ask: Callable[[], T], most: int | None = None) -> T:
        """``ask`` until it is answered, refused, or ``wait`` is over.

        Raises:
            RemoteError: the Hub cannot be reached or refuses.
            TooLarge: it would send a file of more than ``most`` bytes.
        """
        self._attempts, self._trouble, pause = Counter(), None, self.wait / 30
        self._most = most
        last: Exception | None = None  # what the Hub did, rather than that we gave up
        try:
            while True:
                try:
                    with warnings.catch_warnings(action="ignore"):  # they too repeat the Hub
                        return ask()
                # Two HTTP libraries and a Rust one raise here; none of their errors is ours.
                except Exception as problem:
                    self._trouble = self._trouble or time.monotonic()
                    if last is None or not isinstance(problem, _GaveUp):
                        last = problem
                    again = self._again(problem, pause)
                    if again is None or self._waited() + again > self.wait:
                        raise self._explained(what, last, again) from None
                    time.sleep(again)
                    pause *= 2
        finally:
            self._attempts = self._most = None

    def _again(self, problem: Exception, pause: float) -> float | None:
        """Seconds until another attempt makes sense; None for never."""
        if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
            return None
        if self._is_offline(problem):
            return None
        for cause in _causes(problem):
            if isinstance(cause, _GaveUp):
                return None
            if isinstance(cause, _Answer):
                return cause.after if cause.after is not None else pause
            if getattr(cause, "response", None) is not None:
                return None
        return pause

    def _is_offline(self, problem: Exception) -> bool:
        from huggingface_hub.errors import OfflineModeIsEnabled

        return self.offline or any(isinstance(c, OfflineModeIsEnabled) for c in _causes(problem))

    def _explained(self, what: str, problem: Exception, again: float | None) -> Exception:
        if isinstance(problem, TooLarge):
            return problem
        if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
            return StoreError(
                f"{what}: no space left for the Hub library's cache; free some, or set HF_HOME "
                "to a folder on another disk"
            )
        if self._is_offline(problem):
            return RemoteError(f"{what}: offline, and not in the Hub library's cache")
        status = next(filter(None, map(_status, _causes(problem))), None)
        if status is None:
            said = one_line(str(problem)) or type(problem).__name__
            return RemoteError(f"{what}: the Hub could not be reached: {said}")
        advice = _ADVICE.get(status) or one_line(_message(problem)) or "the Hub failed"
        if again is not None and again > self.wait:
            advice += f"; it asks to wait {again:.0f} s, longer than {self.wait:.0f} s"
        kind = Conflict if status in (409, 412) else RemoteError
        return kind(f"{what}: {advice} (HTTP {status})")


def _patience() -> float:
    text = os.environ.get("HARNESS_HUB_WAIT") or "30"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise UsageError(f"HARNESS_HUB_WAIT={text!r}: seconds above 0 are needed, at most a day")
    return seconds


def _causes(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        problem = problem.__cause__


def _status(problem: BaseException) -> int | None:
    if isinstance(problem, _Answer):
        return problem.status
    found = getattr(getattr(problem, "response", None), "status_code", None)
    return int(found) if found is not None else None


def _file_bytes(response: Any) -> int:
    """The size of the file that an answer brings or announces; 0 when it does not say."""
    linked = response.headers.get("X-Linked-Size")
    brings = response.request.method == "GET" and response.status_code in (200, 206)
    stated = linked or (response.headers.get("Content-Length") if brings else None)
    return int(stated) if stated and stated.isdigit() else 0


def _message(problem: BaseException) -> str:
    said: Iterable[str] = (
        getattr(cause, "server_message", None) or "" for cause in _causes(problem)
    )
    return next(filter(None, said), "")


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isdigit() else None
