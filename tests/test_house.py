"""How the parts of the package may lean on each other, read from their imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT

HOUSE = ROOT / "harness"

# From what is used to what uses it: a room imports only rooms that stand in a line before its own.
# The package itself, which imports for its readers what it offers, is called "harness".
LAYERS = (
    {"errors", "lazy", "patterns"},
    {"components", "store"},
    {"spec"},
    {"data"},
    {"models", "training"},
    {"corruptions", "methods", "metrics"},
    {"plan"},
    {"stages"},
    {"execute"},
    {"report"},
    {"api"},
    {"commands"},
    {"harness"},
    {"cli"},
)
MOST_LINES = 300


def modules() -> list[Path]:
    return sorted(HOUSE.rglob("*.py"))


def room(file: Path) -> str:
    """The folder below ``harness`` that ``file`` lies in, or the module's own name."""
    parts = file.relative_to(HOUSE).parts
    if len(parts) > 1:
        return parts[0]
    return "harness" if parts[0] == "__init__.py" else file.stem


def imported(tree: ast.AST) -> Iterator[str]:
    """The full name of every module that an import below ``tree`` names, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            module = node.module or ""
            names = {f"{module}.{alias.name}" for alias in node.names}
            yield from names if module == "harness" else {module}


def rooms_of(file: Path) -> Iterator[str]:
    """The rooms of ``harness`` that ``file`` imports."""
    for name in imported(ast.parse(file.read_text())):
        if name.partition(".")[0] == "harness":
            found = name.split(".")[1] if "." in name else "harness"
            inside = (HOUSE / found).is_dir() or (HOUSE / f"{found}.py").exists()
            yield found if inside else "harness"


def edges() -> dict[tuple[str, str], str]:
    """Every pair of rooms of which the first imports the second, with a file that does."""
    return {
        (room(file), used): str(file.relative_to(HOUSE))
        for file in modules()
        for used in rooms_of(file)
        if used != room(file)
    }


def test_imports_point_one_way() -> None:
    height = {name: level for level, names in enumerate(LAYERS) for name in names}
    wrong = {pair: file for pair, file in edges().items() if height[pair[0]] <= height[pair[1]]}
    assert not wrong


def test_every_room_has_its_place() -> None:
    rooms = {room(file) for file in modules()}
    assert rooms == set().union(*LAYERS)


def test_components_know_nothing_of_what_runs_them() -> None:
    """What declares and implements components never sees the compiler or the executor."""
    above = {"plan", "stages", "execute", "store", "report", "api", "commands", "cli"}
    own = {"components", "data", "corruptions", "models", "training", "methods", "metrics"}
    assert not {pair for pair in edges() if pair[0] in own and pair[1] in above}


@pytest.mark.parametrize("name", ["spec", "plan", "api", "errors", "components", "commands", "cli"])
def test_what_answers_at_once_imports_no_torch_before_it_needs_it(name: str) -> None:
    for file in modules():
        if room(file) == name:
            at_once = statements(ast.parse(file.read_text()))
            names = {found.partition(".")[0] for node in at_once for found in imported(node)}
            assert not names & {"torch", "torchvision", "timm", "transformers"}, file


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """The imports below ``node`` that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from statements(ast.Module(child.orelse, []))
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(child)


def test_no_file_is_longer_than_one_sitting() -> None:
    lines = {str(f.relative_to(HOUSE)): len(f.read_text().splitlines()) for f in modules()}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}
