"""What the code of a component says, as a digest: an edit is never answered with old numbers."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import resolve_name
from pathlib import Path
from traceback import walk_tb
from typing import Any

HOUSE = "harness"


def is_built_in(function: Callable[..., Any]) -> bool:
    """Whether this package itself brings ``function``."""
    return function.__module__.partition(".")[0] == HOUSE


@cache
def digest_of(function: Callable[..., Any]) -> str | None:
    """SHA-256 over the source of the module of ``function`` and of what that imports from its own
    package, directly or not; None where no source can be found.

    The files are read and not executed, and any change of them counts, also of a comment. The
    package of a plug-in is its outermost one, that of a built-in component its folder. Of a
    notebook, which has no file, the function alone is looked at.
    """
    module = sys.modules.get(function.__module__)
    spec: ModuleSpec | None = getattr(module, "__spec__", None)
    try:
        if spec is not None:
            outermost, *_ = spec.name.partition(".")
            within = spec.parent if outermost == HOUSE else outermost
            found = _sources(spec.name, within or spec.name)
        elif file := getattr(module, "__file__", None):
            found = {"": Path(file).read_bytes()}
        else:
            found = {"": inspect.getsource(function).encode()}
    except (OSError, TypeError):
        return None
    if not any(found.values()):
        return None
    parts = [f"{name}\n{sha256(source).hexdigest()}" for name, source in sorted(found.items())]
    return sha256("\n".join(parts).encode()).hexdigest()


def failing_line(problem: BaseException, module: str) -> str:
    """The file and line of the package of ``module`` at which importing it failed."""
    if isinstance(problem, SyntaxError) and problem.filename:
        return f"{problem.filename}:{problem.lineno}"
    package, *_ = module.partition(".")
    places = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in walk_tb(problem.__traceback__)
        if frame.f_globals.get("__name__", "").partition(".")[0] == package
    ]
    return places[-1] if places else module


def _sources(module: str, within: str) -> dict[str, bytes]:
    """By name: the sources of ``module`` and of all that it imports from ``within``."""
    found: dict[str, bytes] = {}
    todo = {module}
    while todo:
        spec = _spec(todo.pop())
        if spec is not None and spec.name not in found:
            found[spec.name] = source = _source(spec)
            named = _imported(source, spec.parent or "")
            todo |= {n for n in named if f"{n}.".startswith(f"{within}.")} - found.keys()
    return found


def _spec(name: str) -> ModuleSpec | None:
    """Where the module ``name`` lies; None where it is no module."""
    spec: ModuleSpec | None = getattr(sys.modules.get(name), "__spec__", None)
    parent = name.rpartition(".")[0]
    if spec is not None or not parent:
        return spec or PathFinder.find_spec(name)
    above = _spec(parent)
    inside = above.submodule_search_locations if above is not None else None
    return PathFinder.find_spec(name, inside) if inside else None


def _source(spec: ModuleSpec) -> bytes:
    """The source of a module, the bytes of a compiled one; nothing of a package without code."""
    if spec.has_location and spec.origin and Path(spec.origin).is_file():
        return Path(spec.origin).read_bytes()
    read = getattr(spec.loader, "get_source", lambda name: None)  # as of a zip file
    return (read(spec.name) or "").encode()


def _imported(source: bytes, package: str) -> Iterator[str]:
    """Every name that may be that of a module which ``source``, in ``package``, imports."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a compiled module
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                try:
                    base = resolve_name("." * node.level + base, package)
                except ImportError:  # beyond the package
                    continue
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
