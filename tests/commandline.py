"""Runs the command line: in this process, or in one of its own.

In this process a run costs a tenth of the time, because Python, torch and the rest are there
already. So that a test cannot tell, the call finds what a process finds (arguments, folder,
environment, streams, warnings and loggers as they are at a start, a Hub library that has read its
environment anew), and everything that it changes is put back.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, TextIO

ROOT = Path(__file__).parents[1]
Done = subprocess.CompletedProcess[str]


def environment(folder: Path) -> dict[str, str]:
    """A process environment whose store lies in ``folder``."""
    without = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return {
        **without,
        "HARNESS_STORE": str(folder / "store"),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
        "PYTHONPATH": str(ROOT),
    }


def in_a_process(folder: Path, *arguments: object, **changes: str) -> Done:
    """``harness`` with ``arguments`` in ``folder``, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**environment(folder), **changes},
        timeout=600,
    )


def in_this_process(folder: Path, *arguments: object, **changes: str) -> Done:
    """``harness`` with ``arguments`` in ``folder``, without starting a process."""
    if "PYTHONPATH" in changes:
        raise ValueError("only a process of its own finds other packages")
    from harness.cli import main

    command = ["harness", *map(str, arguments)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(_variables({**environment(folder), **changes}))
        stack.enter_context(_hub_library())
        stack.enter_context(_torch())
        stack.enter_context(_signals())
        stack.enter_context(_arguments(command))
        streams = stack.enter_context(_streams())
        stack.enter_context(_loggers())
        stack.enter_context(_warnings())
        code = _code(main)
    out, err = (text.getvalue() for text in streams)
    return subprocess.CompletedProcess(command, code, out, err)


def _code(main) -> int:  # type: ignore[no-untyped-def]
    """The exit code that Python would end with after ``main``."""
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)  # noqa: T201
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


@contextlib.contextmanager
def _variables(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    try:
        _set_variables(variables)
        yield
    finally:
        _set_variables(before)


def _set_variables(variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


@contextlib.contextmanager
def _arguments(command: list[str]) -> Iterator[None]:
    before, sys.argv = sys.argv, command
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


Library = tuple[dict[str, ModuleType], list[logging.Handler], int]
_hub_libraries: dict[frozenset[tuple[str, str]], Library] = {}


@contextlib.contextmanager
def _hub_library() -> Iterator[None]:
    """A Hub library of this environment, because it reads its variables when it is imported."""
    words = ("HF_", "HUGGING", "XDG_", "TRANSFORMERS_")
    key = frozenset(item for item in os.environ.items() if item[0].startswith(words))
    before = _taken_out()
    _put_in(_hub_libraries.pop(key, ({}, [], logging.NOTSET)))
    try:
        yield
    finally:
        if close := getattr(sys.modules.get("huggingface_hub"), "close_session", None):
            close()
        _hub_libraries[key] = _taken_out()
        while len(_hub_libraries) > 3:
            del _hub_libraries[next(iter(_hub_libraries))]
        _put_in(before)


def _taken_out() -> Library:
    names = [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]
    logger = logging.getLogger("huggingface_hub")
    return {name: sys.modules.pop(name) for name in names}, logger.handlers[:], logger.level


def _put_in(library: Library) -> None:
    modules, handlers, level = library
    sys.modules.update(modules)
    logger = logging.getLogger("huggingface_hub")
    logger.handlers[:] = handlers
    logger.setLevel(level)


@contextlib.contextmanager
def _torch() -> Iterator[None]:
    """What a run sets for a whole process, put back, and the draws that depend on what ran."""
    import numpy
    import torch

    threads, draws = torch.get_num_threads(), torch.get_rng_state()
    deterministic = torch.get_deterministic_debug_mode()
    cudnn = torch.backends.cudnn
    flags = {name: getattr(cudnn, name) for name in ("benchmark", "deterministic", "enabled")}
    plain, numbers = random.getstate(), numpy.random.get_state()
    kind = torch.get_default_dtype()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(draws)
        torch.set_deterministic_debug_mode(deterministic)
        for name, value in flags.items():
            setattr(cudnn, name, value)
        random.setstate(plain)
        numpy.random.set_state(numbers)
        torch.set_default_dtype(kind)


class _Text:
    """What went into one of the streams."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def getvalue(self) -> str:
        self.file.seek(0)
        return io.TextIOWrapper(self.file, "utf-8", errors="backslashreplace").read()


@contextlib.contextmanager
def _streams() -> Iterator[tuple[_Text, _Text]]:
    """Both streams into files, what is written past Python too. They can be read afterwards."""
    before = sys.stdout, sys.stderr
    for stream in before:
        stream.flush()
    texts = []
    with contextlib.ExitStack() as stack:
        for number, name in ((1, "stdout"), (2, "stderr")):
            file = tempfile.TemporaryFile()  # noqa: SIM115 (read by the caller)
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(file.fileno(), number)
            python = open(  # noqa: SIM115 (a command may close or replace it)
                os.dup(number), "w", encoding="utf-8", errors="backslashreplace", buffering=1
            )
            stack.callback(_close, python)
            setattr(sys, name, python)
            texts.append(_Text(file))
        try:
            yield texts[0], texts[1]
        finally:
            sys.stdout, sys.stderr = before


def _close(stream: io.TextIOBase) -> None:
    if not stream.closed:
        stream.close()


@contextlib.contextmanager
def _loggers() -> Iterator[None]:
    """No handler of pytest's, and those of libraries write to the stream of this call."""
    root = logging.root
    levels = {logger: logger.level for logger in _known_loggers()}
    handlers, root.handlers[:] = root.handlers[:], []
    root.setLevel(logging.WARNING)
    _write_to(sys.stderr)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for logger, level in levels.items():
            logger.setLevel(level)
        _write_to(sys.__stderr__)


def _known_loggers() -> list[logging.Logger]:
    found = logging.root.manager.loggerDict.values()
    return [logging.root, *(x for x in found if isinstance(x, logging.Logger))]


def _write_to(stream: TextIO | None) -> None:
    """Of plain handlers only, without flushing what they had, which may be closed."""
    for logger in _known_loggers():
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.stream = stream


@contextlib.contextmanager
def _warnings() -> Iterator[None]:
    """Python's own filters, and what they let pass goes to the stream of this call."""

    def show(message, kind, file, line, stream=None, text=None) -> None:  # type: ignore[no-untyped-def]
        (stream or sys.stderr).write(warnings.formatwarning(message, kind, file, line, text))

    with warnings.catch_warnings():
        warnings.resetwarnings()
        for kind in (
            ResourceWarning, ImportWarning, PendingDeprecationWarning, DeprecationWarning,
        ):  # fmt: skip
            warnings.simplefilter("ignore", kind)
        warnings.showwarning = show
        yield
