"""Calls of the Hub's library that end in time, whatever the Hub answers.

Each ends within about ``wait`` seconds of the first trouble that lasts, and a body that comes with
less than ``rate`` bytes a second is not waited for. Everything goes through the library's HTTP
client, where that can be seen to: Xet, which goes past it, is switched off. What the Hub says is
scrubbed of tokens before anyone sees it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from attrs import Factory, define

from harness.errors import UsageError
from harness.store.answers import TRANSIENT, GaveUp, NotNow, TooLarge, causes, explained, is_full

T = TypeVar("T")
ATTEMPTS = 4  # that fail one after the other at one address in one call
_WORDS = 100_000  # bytes of a refusal that are read
Address = tuple[str, str]  # method, and address without its query


@define
class _Call:
    """A call under way: what fails in it, how often and since when, until it is answered."""

    most: int | None  # bytes of the file that is being downloaded
    failing: dict[Address | None, tuple[int, float]] = Factory(dict)

    def failed(self, address: Address | None) -> None:
        count, since = self.failing.get(address, (0, time.monotonic()))
        self.failing[address] = count + 1, since

    def answered(self, address: Address) -> None:
        """It is whole; while answers come, the others are not waited for in vain."""
        self.failing.pop(address, None)
        for other, (count, _) in list(self.failing.items()):
            self.failing[other] = count, time.monotonic()

    def waited(self) -> float:
        begun = [since for _, since in list(self.failing.values())]
        return time.monotonic() - min(begun) if begun else 0.0


class Calls:
    """Bounds around every request that the library makes during a call of ours."""

    def __init__(self, wait: float | None, offline: bool) -> None:
        self.wait = wait if wait is not None else _setting("HARNESS_HUB_WAIT", 30, 86_400)
        self.rate = _setting("HARNESS_HUB_RATE", 10_000, 1e9)
        self.offline = offline
        self.received = 0  # bytes
        self.stopped = False  # once it is, every request ends at its next byte
        self._mine = threading.local()
        self._shared: _Call | None = None  # of uploads, which the library spreads over threads
        self._install()

    def _install(self) -> None:
        import huggingface_hub as library
        from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

        disable_progress_bars()  # they show signed addresses
        library.constants.HF_HUB_DISABLE_XET = True
        session = library.get_session()
        # Its warnings repeat what the Hub says, unscrubbed. (Set after its own set-up.)
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module="huggingface_hub")
        kind = next(c for c in type(session).__mro__ if not hasattr(c, "bounds"))
        hooks = {"request": session.event_hooks["request"], "response": [self._watch]}

        class Bounded(kind):  # type: ignore[misc, valid-type]
            bounds = self

            def send(self, request: Any, **how: Any) -> Any:
                return self.bounds._send(super().send, request, how)

        library.set_client_factory(
            lambda: Bounded(event_hooks=hooks, follow_redirects=True, timeout=None)
        )

    def _current(self) -> _Call | None:
        return getattr(self._mine, "call", None) or self._shared

    def _send(self, send: Callable[..., Any], request: Any, how: dict[str, Any]) -> Any:
        """``send`` it with our limits, unless its address has failed for too long."""
        if self.offline:
            raise GaveUp("offline")
        call = self._current()
        if call is None:
            return send(request, **how)
        if self.stopped:
            raise GaveUp("interrupted")
        address: Address = request.method, str(request.url).partition("?")[0]
        if call.failing.get(address, (0,))[0] >= ATTEMPTS or call.waited() > self.wait:
            raise GaveUp(f"no whole answer after {ATTEMPTS} attempts")
        seconds = self.wait / 3 if request.method in ("GET", "HEAD") else self.wait * 2
        limits = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {
            name: min(limits.get(name) or seconds, seconds)
            for name in ("connect", "read", "write", "pool")
        }
        request.extensions["address"] = address
        try:
            response = send(request, **how)
        except GaveUp:
            raise
        except Exception as problem:
            if any(isinstance(c, socket.gaierror) and c.errno == socket.EAI_NONAME
                   for c in causes(problem, context=True)):  # fmt: skip
                raise GaveUp(f"no such host: {request.url.host}") from None
            call.failed(address)
            raise
        if not how.get("stream"):
            call.answered(address)
        return response

    def _watch(self, response: Any) -> None:
        """Look at an answer before its body is read."""
        call = self._current()
        if call is None:
            return
        response.stream = self._watched(response, call)
        if response.status_code >= 400:
            response.read()
        if response.status_code in TRANSIENT:
            raise NotNow(response)
        if call.most is not None and (found := _file_bytes(response)) > call.most:
            raise TooLarge(found)

    def _watched(self, response: Any, call: _Call) -> Any:
        """The body of ``response``, with an eye on its pace."""
        body, address = response.stream, response.request.extensions["address"]
        kind = next(c for c in type(body).__mro__ if c.__name__ == "SyncByteStream")

        def paced() -> Iterator[bytes]:
            since, count = time.monotonic(), 0
            try:
                for part in body:
                    count += len(part)
                    self.received += len(part)
                    if response.status_code >= 400 and count > _WORDS:
                        break
                    if self.stopped:
                        raise GaveUp("interrupted")
                    if time.monotonic() - since > self.wait:
                        if count < self.rate * self.wait:
                            raise GaveUp(f"it sends less than {self.rate:,.0f} bytes a second")
                        since, count = time.monotonic(), 0
                    yield part
            except GaveUp:
                raise
            except Exception:
                call.failed(address)
                raise
            if not response.has_redirect_location and response.status_code not in TRANSIENT:
                call.answered(address)

        class Watched(kind):  # type: ignore[misc, valid-type]
            def __iter__(self) -> Iterator[bytes]:
                return paced()

            def close(self) -> None:
                body.close()

        return Watched()

    def call(self, what: str, ask: Callable[[], T], most: int | None = None) -> T:
        """``ask`` until it is answered, refused, or ``wait`` is over.

        Raises:
            RemoteError: the Hub cannot be reached or refuses.
            TooLarge: it would send a file of more than ``most`` bytes.
        """
        call, pause = _Call(most), self.wait / 30
        self._mine.call = call
        self._shared = call if most is None else None
        last: Exception | None = None  # what the Hub did, rather than that we gave up
        try:
            while True:
                try:
                    return ask()
                # Two HTTP libraries raise here; none of their errors is ours.
                except Exception as problem:
                    if not call.failing:
                        call.failed(None)
                    if last is None or not isinstance(problem, GaveUp):
                        last = problem
                    again = self._again(problem, pause)
                    tired = max(count for count, _ in call.failing.values()) >= ATTEMPTS
                    if again is None or tired or call.waited() + again > self.wait:
                        raise self._explained(what, last, again) from None
                    time.sleep(again)
                    pause *= 2
        finally:
            self._mine.call = self._shared = None

    def _again(self, problem: Exception, pause: float) -> float | None:
        """Seconds until another attempt makes sense; None for never."""
        if is_full(problem) or self._is_offline(problem):
            return None
        for cause in causes(problem):
            if isinstance(cause, NotNow):
                return cause.after if cause.after is not None else pause
            if isinstance(cause, GaveUp) or getattr(cause, "response", None) is not None:
                return None
        return pause if any(map(_may_pass, causes(problem))) else None

    def _is_offline(self, problem: Exception) -> bool:
        from huggingface_hub.errors import OfflineModeIsEnabled

        return self.offline or any(isinstance(c, OfflineModeIsEnabled) for c in causes(problem))

    def _explained(self, what: str, problem: Exception, again: float | None) -> Exception:
        note = ""
        if again is not None and again > self.wait:
            note = f"; it asks to wait {again:.0f} s, longer than {self.wait:.0f} s"
        return explained(what, problem, note, self._is_offline(problem))


def _setting(name: str, default: float, most: float) -> float:
    """The number in the environment variable ``name``."""
    text = os.environ.get(name) or str(default)
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= most:
        raise UsageError(f"{name}={text!r}: a number above 0 is needed, at most {most:,.0f}")
    return found


def _may_pass(problem: BaseException) -> bool:
    """Whether it is trouble of a connection rather than of what was asked for."""
    return isinstance(problem, OSError) or any(
        kind.__name__ == "TransportError" for kind in type(problem).__mro__
    )


def _file_bytes(response: Any) -> int:
    """The size of the file that an answer brings or announces; 0 when it does not say."""
    linked = response.headers.get("X-Linked-Size")
    brings = response.request.method == "GET" and response.status_code in (200, 206)
    stated = linked or (response.headers.get("Content-Length") if brings else None)
    return int(stated) if stated and stated.isdigit() else 0
