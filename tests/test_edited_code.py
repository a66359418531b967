"""Edited code is never answered with the numbers of the code before it."""

from __future__ import annotations

import json
import linecache
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import attrs
import pytest

from conftest import ROOT, TINY, Cli
from harness.components import catalogue
from harness.execute import run as execution
from harness.execute.workers import here
from harness.execute.workers.events import Stopped
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.report import read_results
from harness.report.notices import of_code
from harness.spec.load import load_spec
from harness.store import Store

METHOD = '''
from harness.components import component
from harness.lazy import torch
from tiny_outside.factors import FACTOR

@component("methods", "shrink", source="here", sees=frozenset({"original weights"}))
def shrink(model, task, settings):
    """Multiply every weight by a factor."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(FACTOR)
    return model
'''


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Writes the files of an installed package, as a new process would find them."""
    package = tmp_path / "site" / "tiny_outside"
    package.mkdir(parents=True)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    entry = EntryPoint("shrink", "tiny_outside.shrink", "harness.methods")
    found = lambda group: [entry] if group == entry.group else []  # noqa: E731
    monkeypatch.setattr(catalogue, "entry_points", found)

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith("tiny_outside")]:
            del sys.modules[name]
        catalogue._catalogue["methods"].pop("shrink", None)
        catalogue.load.cache_clear()
        for cached in catalogue._caches:
            cached.cache_clear()

    def write(**files: str) -> None:
        for name, text in files.items():
            (package / f"{name}.py").write_text(text)
        forget()

    write(__init__="", shrink=METHOD, factors="FACTOR = 0.5\n", other="")
    yield write
    monkeypatch.undo()
    forget()


def spec_of(folder: Path, methods: str = "  - shrink\n") -> Path:
    head, *_ = TINY.partition("methods:\n")
    file = folder / "own.yaml"
    own = f"{head}methods:\n{methods}metrics: [clean_accuracy]\n"
    file.write_text(own.replace("{sweep: [1.0, 0.5]}", "1.0"))
    return file


def plan_of(folder: Path) -> Plan:
    return compile_plan(load_spec(spec_of(folder)))


def key_of(plan: Plan) -> str:
    return plan.groups[0].candidates[0].unlearn


def test_an_edited_method_of_a_package_is_computed_again_with_the_same_draws(
    cli: Cli, tmp_path: Path, outside: Callable[..., None]
) -> None:
    spec = spec_of(tmp_path)

    def run() -> dict[str, Any]:
        done = cli("run", spec, "--jobs", 1, "--out", "out")
        assert done.returncode == 0, done.stderr
        [row] = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
        return row

    first, plan = run(), plan_of(tmp_path)
    outside(shrink=METHOD.replace("mul_(FACTOR)", "mul_(0.0)"))
    second, edited = run(), plan_of(tmp_path)
    assert second["keys"]["unlearn"] != first["keys"]["unlearn"]
    weights = Store(tmp_path / "store").read("unlearn", second["keys"]["unlearn"]).tensors
    assert weights is not None and not weights["9.bias"].any()
    assert edited.stages[key_of(edited)].draws == plan.stages[key_of(plan)].draws
    assert {k for k, s in edited.stages.items() if s.kind == "train"} <= plan.stages.keys()


@pytest.mark.parametrize(
    ("files", "moves"),
    [
        ({"factors": "FACTOR = 0.25\n"}, True),
        ({"factors": "from .other import FACTOR\n", "other": "FACTOR = 0.5\n"}, True),
        ({"other": "FACTOR = 0.1\n"}, False),
    ],
    ids=["what it imports", "what that imports", "what nobody imports"],
)
def test_the_key_of_a_method_follows_what_it_imports_from_its_own_package(
    tmp_path: Path, outside: Callable[..., None], files: dict[str, str], moves: bool
) -> None:
    before = key_of(plan_of(tmp_path))
    outside(**files)
    assert (key_of(plan_of(tmp_path)) != before) is moves


def test_what_a_method_imports_later_is_read_and_not_executed(
    tmp_path: Path, outside: Callable[..., None]
) -> None:
    lazily = METHOD + "\ndef later():\n    from tiny_outside import heavy\n"
    outside(shrink=lazily, heavy="raise RuntimeError('imported')\n")
    before = key_of(plan_of(tmp_path))
    outside(heavy="raise RuntimeError('imported again')\n")
    assert key_of(plan_of(tmp_path)) != before


def in_a_notebook(text: str, number: int, *, readable: bool = True) -> None:
    """Execute ``text`` as a cell of a notebook, which has no file."""
    name = f"<cell {number}>"
    if readable:
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), {"__name__": "no_file_at_all"})  # noqa: S102


def test_an_edited_cell_of_a_notebook_is_another_method(
    tmp_path: Path, outside: Callable[..., None]
) -> None:
    cell = METHOD.replace("from tiny_outside.factors import FACTOR", "FACTOR = 0.5")
    catalogue._catalogue["methods"].pop("shrink", None)
    catalogue.entry_points = lambda group: []  # type: ignore[assignment]  # the fixture undoes it
    catalogue.load.cache_clear()
    in_a_notebook(cell, 1)
    first = key_of(plan_of(tmp_path))
    in_a_notebook(cell.replace("mul_(FACTOR)", "mul_(0.1)"), 2)
    assert key_of(plan_of(tmp_path)) != first
    function = catalogue.get("methods", "shrink").function
    assert 0.1 in function.__code__.co_consts


def test_a_method_whose_source_cannot_be_read_has_a_notice(
    cli: Cli, tmp_path: Path, outside: Callable[..., None]
) -> None:
    cell = METHOD.replace("from tiny_outside.factors import FACTOR", "FACTOR = 0.5")
    catalogue._catalogue["methods"].pop("shrink", None)
    catalogue.entry_points = lambda group: []  # type: ignore[assignment]
    catalogue.load.cache_clear()
    in_a_notebook(cell, 3, readable=False)
    done = cli("run", spec_of(tmp_path), "--jobs", 1, "--out", "out")
    assert done.returncode == 0, done.stderr
    said = "The code of the method shrink cannot be read"
    assert said in done.stdout
    assert said in (tmp_path / "out" / "report.md").read_text()


def test_a_built_in_component_that_changed_under_its_revision_is_said_once(
    cli: Cli, tiny: Path, tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = (tmp_path / "tiny.yaml", "--jobs", 1, "--out", "out")
    said = "The code of the method ssd has changed since 4 of its stages were computed"
    unchanged = cli("run", *spec)
    assert said not in unchanged.stdout
    real = catalogue.digest_of
    edited = catalogue.get("methods", "ssd").function
    monkeypatch.setattr(
        catalogue, "digest_of", lambda function: "0" * 64 if function is edited else real(function)
    )
    done = cli("run", *spec)
    assert done.stdout.count("--recompute method=ssd") == 1
    assert said in done.stdout
    assert said in (tmp_path / "out" / "report.html").read_text()
    again = cli("run", *spec, "--recompute", "method=ssd")
    assert again.returncode == 0, again.stderr
    assert said not in again.stdout


def test_several_components_that_changed_are_one_notice() -> None:
    found = read_results(ROOT / "results" / "quickstart" / "default")
    components = tuple(
        attrs.evolve(part, edited=3 if part.kind == "methods" else 0) for part in found.components
    )
    (said,) = of_code(attrs.evolve(found, components=components))
    for part in components:
        assert (f"method {part.name} (3)" in said) == (part.kind == "methods")


def finished_in(log: Path) -> list[str]:
    """Kind and key of each stage that a run computed."""
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return [f"{e['kind']} {e['key']}" for e in events if e["event"] == "finished"]


@pytest.fixture
def again(cli: Cli, tiny: Path, finished: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Runs the finished tiny spec with ``--recompute``; the stages that it computed."""

    def run(*conditions: str, code: int = 0) -> list[str]:
        options = [word for condition in conditions for word in ("--recompute", condition)]
        log = tmp_path / "log.jsonl"
        log.unlink(missing_ok=True)
        done = cli("run", tiny, "--jobs", 1, "--out", "out", "--json-log", log, *options)
        assert done.returncode == code, done.stderr
        return finished_in(log)

    return run


def kinds_of(names: list[str]) -> list[str]:
    return sorted({name.split()[0] for name in names})


def test_recompute_computes_a_method_and_what_depends_on_it_again(
    again: Callable[..., list[str]], finished: Path, tmp_path: Path
) -> None:
    assert again() == []
    before = (tmp_path / "out" / "results.json").read_text()
    computed = again("method=ssd")
    assert kinds_of(computed) == ["evaluate", "unlearn"]
    assert len(computed) == 8
    rows, fresh = (json.loads(text)["rows"] for text in (
        before, (tmp_path / "out" / "results.json").read_text()
    ))  # fmt: skip
    assert rows == fresh
    assert again("kind=evaluate", "method=none")
    assert again() == []
    assert not list((finished / "replaced").iterdir())


def test_recompute_takes_a_key_and_any_component(
    again: Callable[..., list[str]], tmp_path: Path
) -> None:
    again()
    row = json.loads((tmp_path / "out" / "results.json").read_text())["rows"][0]
    assert len(again(f"key={row['keys']['evaluate'][:8]}")) == 1
    assert kinds_of(again("preparation=fisher")) == ["evaluate", "prepare", "unlearn"]
    assert len(again("metric=cost", "kind=unlearn")) == len(again("kind=unlearn"))


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("method=sssd", "did you mean 'ssd'?"),
        ("metod=ssd", "did you mean 'method'?"),
        ("ssd", "WHAT=NAME is needed"),
        ("kind=unlern", "did you mean 'unlearn'?"),
        ("kind=features", "nothing in this plan"),
        ("key=0123", "8 or more hex digits"),
        ("key=0123456789abcdef", "8 or more hex digits"),
    ],
)
def test_a_recompute_that_nothing_fits_is_refused(
    cli: Cli, tiny: Path, condition: str, said: str
) -> None:
    done = cli("run", tiny, "--recompute", condition)
    assert done.returncode == 2
    assert said in done.stderr


def test_an_interrupted_recompute_goes_on_where_it_was(
    again: Callable[..., list[str]], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [3]
    real = here.attempts

    def attempts(stages: Any, world: Any, emit: Any, stop: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            stop.set()
            return [Stopped(stage.key) for stage in stages]
        return real(stages, world, emit, stop)

    monkeypatch.setattr(here, "attempts", attempts)
    first = again("method=ssd", code=130)
    assert len(first) == 3
    left[0] = 100
    second = again("method=ssd")
    assert len(second) == 5
    assert not set(first) & set(second)
    assert len(again("method=ssd")) == 8


def test_the_hub_does_not_answer_for_what_is_to_be_computed_again(
    cli: Cli, tiny: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = compile_plan(load_spec(tiny))
    asked: list[set[str]] = []
    monkeypatch.setattr(
        "harness.store.registry.read_registry", lambda *given: dict.fromkeys(given[-1])
    )
    monkeypatch.setattr(
        "harness.execute.reuse.fetch_needed",
        lambda p, s, entries, *_: asked.append({*entries}) or {},
    )
    monkeypatch.setattr(execution, "_apart", lambda *_: ())
    (tmp_path / "registry").mkdir()
    done = cli("run", tiny, "--jobs", 1, "--out", "out", "--registry", "registry",
               "--recompute", "kind=train")  # fmt: skip
    assert done.returncode == 0, done.stderr
    [entries] = asked
    assert {plan.stages[key].kind for key in entries} == {"corrupt", "unlearn"}
    assert {plan.stages[key].uses[0].name for key in entries} == {"badnet", "retrain"}
