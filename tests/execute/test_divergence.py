"""What a method does wrong: it diverges, fails, or returns something that is no unlearned model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import frozen
from torch import nn

import harness
from commandline import in_this_process
from conftest import TINY, Cli
from harness.components import catalogue, component, setting
from harness.errors import Diverged, UsageError
from harness.execute.retention import choose
from harness.plan.protocol import compile_plan
from harness.spec.load import load_spec

NAME, RATIO = "throwaway_scaled", "throwaway_ratio"


@frozen
class Scaled:
    """Settings of the method."""

    factor: float = setting(1.0, doc="what every weight is multiplied by")
    returns: Literal["model", "none", "half", "other", "error", "nan loss"] = setting(
        "model", doc="what comes back"
    )


@pytest.fixture(autouse=True, scope="module")
def scaled() -> Iterator[None]:
    """A method of somebody else."""
    catalogue.load("methods")

    @component("methods", NAME, settings=Scaled, source="here")
    def unlearn(model: nn.Module, task: Any, settings: Scaled) -> Any:
        """Multiply every weight."""
        match settings.returns:
            case "error":
                raise RuntimeError("a defect")
            case "nan loss":
                raise Diverged("the loss is nan at step 3")
            case "none":
                return None
            case "half":
                return model.half()
            case "other":
                return nn.Linear(2, 2)
        for weight in model.parameters():
            weight.data.mul_(settings.factor)
        return model

    catalogue.load("metrics")

    @component(
        "metrics",
        RATIO,
        source="here",
        outputs=lambda settings: (RATIO,),
        reads=lambda settings: ("test",),
        better="higher",
    )
    def ratio(evidence: Any, settings: Any) -> dict[str, float]:
        """0/0 for a model that knows nothing but one class."""
        classes = evidence.logits("test").argmax(1).unique()
        return {RATIO: float("nan") if len(classes) == 1 else float(len(classes))}

    yield
    del catalogue._catalogue["methods"][NAME]
    del catalogue._catalogue["metrics"][RATIO]
    for cached in catalogue._caches:
        cached.cache_clear()


def written(folder: Path, *methods: str, metrics: str = "clean_accuracy") -> Path:
    head = TINY.partition("methods:\n")[0].replace("{sweep: [1.0, 0.5]}", "0.5")
    head = head.replace("steps: 30", "steps: 5")
    listed = "".join(f"  - {method}\n" for method in methods)
    file = folder / "own.yaml"
    file.write_text(f"{head}methods:\n{listed}metrics: [{metrics}]\n")
    return file


SELECT = "select: {maximize: clean_accuracy}"
SWEPT = f"{{name: {NAME}, factor: {{sweep: [1.0e+39, 1.0, 2.0e+39]}}, {SELECT}}}"
LOST = f"{{name: {NAME}, label: lost, factor: {{sweep: [1.0e+39, 2.0e+39]}}, {SELECT}}}"
MID = f"{{name: {NAME}, label: mid, returns: nan loss}}"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, scaled: None) -> tuple[Path, Any]:
    """A finished run in which some candidates diverged, and what it said."""
    folder = tmp_path_factory.mktemp("diverged")
    spec = written(folder, "none", SWEPT, LOST, MID)
    return folder, in_this_process(folder, "run", spec, "--jobs", 1, "--out", "out")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "out/results.json").read_text())["rows"]
    return found


def test_a_diverged_candidate_loses_and_is_marked(ran: tuple[Path, Any]) -> None:
    folder, done = ran
    assert done.returncode == 0, done.stderr
    rows = [row for row in rows_of(folder) if row["method"] == NAME]
    assert [row["selected"] for row in rows] == [False, True, False]
    assert ["is not finite" in row.get("diverged", "") for row in rows] == [True, False, True]
    assert rows[0]["metrics"] == {}
    text = (folder / "out" / "report.md").read_text()
    assert "0 of 1, 1 diverged" in text
    assert "5 of 7 unlearnings diverged" in text
    printed = in_this_process(folder, "report", "out", "--format", "csv").stdout
    header, first, *_ = printed.splitlines()
    assert "diverged" in header.split(",")
    assert first.count(",") == header.count(",")


def test_a_method_of_which_every_candidate_diverged_has_a_row_that_says_so(
    ran: tuple[Path, Any],
) -> None:
    folder, done = ran
    for label in ("lost", "mid"):
        [line] = [line for line in done.stdout.splitlines() if line.split()[:1] == [label]]
        assert line.split()[-1] == "diverged"
    mid = next(row for row in rows_of(folder) if row["method"] == "mid")
    assert mid["diverged"] == "the loss is nan at step 3"
    with pytest.raises(UsageError, match="lost diverged there"):
        harness.load_model(folder / "out", method="lost", store=folder / "store")


def test_what_diverged_is_not_computed_again(ran: tuple[Path, Any]) -> None:
    folder, _ = ran
    again = in_this_process(folder, "run", "own.yaml", "--jobs", 1, "--out", "out")
    assert "0 to compute" in again.stderr
    assert in_this_process(folder, "store", "verify").returncode == 0


def test_a_diverged_candidate_loses_against_one_without_a_score(tmp_path: Path) -> None:
    plan = compile_plan(load_spec(written(tmp_path, SWEPT)))
    [choice] = plan.choices
    measured = dict(
        zip(choice.measurements, ({}, {"clean_accuracy": float("nan")}, {}), strict=True)
    )
    assert choose(choice, measured.__getitem__) == 1


@pytest.mark.parametrize(
    ("returns", "said"),
    [
        ("none", f"the method '{NAME}' returned NoneType; the unlearned model"),
        ("half", "'0.weight' is float16 [8, 1, 3, 3]; float32 [8, 1, 3, 3] is needed"),
        (
            "other",
            f"the method '{NAME}' returned another architecture than it was given: '0.weight'",
        ),
        ("error", "RuntimeError: a defect"),
    ],
)
def test_a_failure_names_method_candidate_cell_and_seed(
    cli: Cli, tmp_path: Path, returns: str, said: str
) -> None:
    swept = f"{{name: {NAME}, label: mine, returns: {{sweep: [{returns}]}}, {SELECT}}}"
    spec = written(tmp_path, "none", swept)
    spec.write_text(spec.read_text().replace("discovered: 0.5", "discovered: {sweep: [0.5]}"))
    done = cli("run", spec, "--jobs", 1, "--out", "out")
    assert done.returncode == 1
    point = f"unlearn mine (discovered=0.5, seed 0; returns={returns})"
    assert point in done.stdout
    assert said in done.stdout
    [failed] = json.loads((tmp_path / "out/results.json").read_text())["failed"]
    assert failed["stage"] == point
    assert point in (tmp_path / "out" / "report.html").read_text()


def test_a_base_model_that_diverges_is_a_failure(cli: Cli, tmp_path: Path) -> None:
    spec = written(tmp_path, "none")
    done = cli("run", spec, "--jobs", 1, "--set", "train.optimizer.lr=1e30")
    assert done.returncode == 1
    assert "at seed 0" not in done.stdout
    assert "lower the learning rate" in done.stdout


def test_a_diverged_retraining_that_others_are_compared_with_is_a_failure(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any, **__: Any) -> None:
        raise Diverged("the loss is nan")

    import harness.methods.task as task

    monkeypatch.setattr(task, "fit", lost)
    spec = written(tmp_path, "none", "retrain", metrics="clean_accuracy, retrain_distance")
    done = cli("run", spec, "--jobs", 1, "--out", "out")
    assert done.returncode == 1
    assert "the retrained model that it is compared with diverged: the loss is nan" in done.stdout
    [row] = rows_of(tmp_path)
    assert (row["method"], row["diverged"]) == ("retrain", "the loss is nan")


def test_a_metric_without_a_value_loses_and_fails_nothing(cli: Cli, tmp_path: Path) -> None:
    """0/0 is no number of JSON: it took the whole method out of the table."""
    swept = f"{{name: {NAME}, factor: {{sweep: [0.0, 1.0]}}, select: {{maximize: {RATIO}}}}}"
    spec = written(tmp_path, swept, metrics=f"clean_accuracy, {RATIO}")
    done = cli("run", spec, "--jobs", 1, "--out", "out", "--set", "train.steps=40")
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path)
    assert [row["selected"] for row in rows] == [False, True]
    assert rows[0]["metrics"][RATIO] is None
    assert rows[0]["notes"] == {RATIO: "nan"}
    assert rows[0]["metrics"]["clean_accuracy"] is not None
    assert "1 values are not finite" in (tmp_path / "out" / "report.md").read_text()
