"""What is allowed and makes little sense is said; what makes none is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from report.sample import rows, sample

from conftest import TINY, Cli
from harness.report.notices import warnings


def written(folder: Path, **changes: object) -> Path:
    file = folder / "own.yaml"
    spec = {**yaml.safe_load(TINY), "methods": ["none"], **changes}
    del spec["profiles"]
    file.write_text(yaml.safe_dump(spec, sort_keys=False))
    return file


def said(word: str, **facts: object) -> list[str]:
    """The notices of a sample that have ``word``."""
    return [notice for notice in warnings(sample(**facts)) if word in notice]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "metrics",
    [
        "[clean_accuracy, attack_success_rate, clean_accuracy]",
        "[clean_accuracy, attack_success_rate, {name: clean_accuracy}]",
    ],
)
def test_a_metric_that_is_named_twice_is_refused_with_its_place(
    cli: Cli, tiny: Path, metrics: str
) -> None:
    lines = TINY.splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("metrics:"))
    lines[number] = f"metrics: {metrics}"
    tiny.write_text(
        "\n".join(lines).replace("mean(unlearned_gain, -accuracy_drop)", "clean_accuracy")
    )
    done = cli("validate", tiny)
    assert done.returncode == 2
    assert f"{tiny}:{number + 1}:" in done.stderr
    assert "'clean_accuracy' is measured by metrics[0] already" in done.stderr


def test_a_batch_larger_than_the_training_data_is_said_before_and_after_a_run(
    cli: Cli, tmp_path: Path
) -> None:
    train = {"steps": 2, "batch_size": 512, "optimizer": {"name": "sgd", "lr": 0.05}}
    spec = written(tmp_path, train=train, metrics=["clean_accuracy"])
    words = "train.batch_size is 512, and there are 270 training samples"
    assert words in cli("validate", spec).stdout
    assert words in cli("plan", spec).stdout
    done = cli("run", spec, "--jobs", 1, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(words) == 1
    report = (tmp_path / "out" / "report.md").read_text()
    assert report.count(words) == 1
    assert "about as good as guessing among 10 classes" in report  # after two steps
    assert "One repetition" in report
    train["batch_size"] = 270
    assert "notice" not in cli("validate", written(tmp_path, train=train)).stdout


def test_a_base_model_at_chance_has_one_notice_for_all_cells() -> None:
    found = rows()
    for row in found:
        row["metrics"] |= {"clean_accuracy": 0.08, "accuracy_drop": 0.04}
    data = {"name": "digits", "classes": 10}
    [notice] = said("guessing", found=found, data=data)
    assert "accuracy 0.120 at count=100, discovered=1.0, seeds 0, 1, 2" in notice


@pytest.mark.parametrize("drop", [0.4, None])
def test_a_base_model_that_learned_or_that_nothing_measures_has_no_notice(
    drop: float | None,
) -> None:
    found = rows()
    for row in found:
        row["metrics"] |= {"clean_accuracy": 0.1} | (
            {} if drop is None else {"accuracy_drop": drop}
        )
    if drop is None:
        found = [row for row in found if row["method"] != "none"]
    assert not said("guessing", found=found, data={"name": "digits", "classes": 10})


def test_the_model_that_is_left_alone_is_the_base_model() -> None:
    found = rows()
    for row in found:
        row["metrics"]["clean_accuracy"] = 0.1
    assert said("guessing", found=found, data={"name": "digits", "classes": 10})


@pytest.mark.parametrize(("seeds", "word"), [(1, "One repetition"), (2, "Two repetitions")])
def test_few_repetitions_have_a_notice(seeds: int, word: str) -> None:
    few = [row for row in rows() if row["seed"] < seeds]
    assert said(word, found=few, change=lambda spec: spec.update(seeds=list(range(seeds))))
    assert not said("repetition")
