"""The challenge's protocol from end to end, on small digits: populations, scores, table, figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import Cli
from harness.report import Results, read_results
from harness.store import Store

MODELS = 4
SPEC: dict[str, Any] = {
    "harness": 1,
    "id": "small-challenge",
    "version": "1.0.0",
    "seeds": {"data": [0], "model": [0], "unlearn": {"first": 0, "count": MODELS}},
    "data": {"dataset": "digits", "train_samples": 200, "test_samples": 60, "validation": 0.2},
    "model": {"name": "small_cnn", "widths": [4]},
    "train": {"epochs": 4, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 0.1}},
    "forget": {"set": "random", "share": 0.1},
    "methods": [
        "none",
        "retrain",
        {"name": "finetune", "steps": 2, "lr": 0.01},
        {"name": "finetune", "label": "longer", "epochs": 3, "lr": 0.1},
    ],
    "metrics": [
        "forget_accuracy",
        "retain_accuracy",
        {"name": "loss", "split": "forget"},
        {"name": "forgetting_quality", "retain_samples": 50, "max_cost": 0.2, "resamples": 3},
    ],
    "claims": [
        {
            "claim": "order",
            "metric": "unlearning_score",
            "methods": ["finetune", "none"],
            "where": "Table 1",
        },
        {
            "metric": "forget_loss",
            "method": "finetune",
            "value": 0.25,
            "unit": "",
            "tolerance": 0.1,
            "where": "Table 1",
        },
    ],
    "figures": [
        {
            "title": "The study's table",
            "show": "table",
            "y": ["forget_loss", "forget_accuracy", "retain_accuracy", "unlearning_score"],
        },
        {"title": "Epsilon", "show": "histogram", "x": "epsilon", "y": "epsilon_share"},
        {
            "title": "Score and accuracy",
            "show": "scatter",
            "x": "retain_accuracy",
            "y": "unlearning_score",
        },
    ],
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from commandline import in_this_process

    folder = tmp_path_factory.mktemp("challenge")
    (folder / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    done = in_this_process(folder, "run", "spec.yaml", "--out", "out", "--jobs", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "out" / "said.txt").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def results(ran: Path) -> Results:
    return read_results(ran / "out")


def table(text: str, title: str) -> list[list[str]]:
    """The cells of the first table below ``title``."""
    lines = text[text.index(title) :].split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    rows = [line.strip("|").split("|") for line in lines[start:end] if not line.startswith("|-")]
    return [[cell.strip() for cell in row] for row in rows]


def test_a_score_stands_with_its_number_of_models_its_interval_and_the_oracle(
    ran: Path, results: Results
) -> None:
    text = (ran / "out" / "report.md").read_text()
    headers, *rows = table(text, "Populations of models")
    assert headers == [
        "method", "N", "unlearning_score ↑", "of the oracle", "behind the best",
    ]  # fmt: skip
    by_method = {row[0]: row for row in rows}
    assert {row[1] for row in rows} == {str(MODELS)}
    assert by_method["retrain (oracle)"][3] == "1.00"
    assert all(row[2].endswith("\\]") for row in rows), "an interval behind every score"
    assert "longer" not in by_method  # over the limit: it has no place in the ranking
    assert text.count(f"with N = {MODELS} models on a side") == 1
    assert "held against other retrained models, gets" in text
    assert "Of a claim: finetune minus none is" in text
    said = (ran / "out" / "said.txt").read_text()
    assert "of the oracle" in said


def test_a_method_over_the_limit_is_rejected_in_words(ran: Path, results: Results) -> None:
    text = (ran / "out" / "report.md").read_text()
    [row] = [row for row in results.scores if row.method == "longer"]
    assert row.metrics["unlearning_score"] == 0
    assert row.metrics["share_of_retraining"] == pytest.approx(3 / 4, abs=0.01)
    assert f"longer: {row.rejected}" in text
    assert {"rejected"} <= {cell for line in table(text, "Every population") for cell in line}
    others = [row for row in results.scores if row.method != "longer"]
    assert not any(row.rejected for row in others)  # neither the oracle, which costs 1


def test_the_studys_table_has_its_columns_with_the_claims_beside_ours(ran: Path) -> None:
    text = (ran / "out" / "report.md").read_text()
    headers, *rows = table(text, "The study's table")
    assert headers[1:4] == ["forget_loss", "forget_accuracy", "retain_accuracy ↑"]
    assert headers[4].endswith(f"(N = {MODELS})")
    assert headers[5].startswith("seconds of one unlearning")
    cells = {row[0]: row for row in rows}
    assert "(paper: 0.250)" in cells["finetune"][1]
    assert "paper" not in cells["none"][1]
    assert cells["longer"][4] == "rejected"
    assert all(float(row[5]) >= 0 for row in rows)


def test_histograms_and_the_scatter_plot_are_drawn_with_their_numbers(
    ran: Path, results: Results
) -> None:
    folder = ran / "out"
    text = (folder / "report.md").read_text()
    headers, *rows = table(text, "epsilon_share, by where")
    assert headers[:3] == ["method", "0.000", "0.500"]
    assert len(headers) == 1 + 14
    for row in rows:
        assert sum(map(float, row[1:])) == pytest.approx(1, abs=0.01)
    assert {row[0] for row in rows} == {"none", "retrain", "finetune", "longer"}
    drawn = (folder / "figure_3.svg").read_text()
    for label in ("none", "retrain", "finetune", "longer"):
        assert f">{label}<" in drawn
    assert read_results(folder).scores == results.scores  # series and words are kept in the file


def test_of_a_population_only_the_first_models_keep_their_weights(ran: Path) -> None:
    store = Store(ran / "store")
    kept = [
        record.parent.name
        for record in (ran / "store" / "unlearn").glob("*/*/record.json")
        if store.has("unlearn", record.parent.name, tensors=True)
    ]
    assert len(kept) == len(SPEC["methods"])  # none of the retrained models of the other side
    outputs = list((ran / "store" / "outputs").glob("*/*/tensors.safetensors"))
    assert len(outputs) == MODELS * (len(SPEC["methods"]) + 1)
    from safetensors.torch import load_file

    shapes = {name: tuple(t.shape) for name, t in load_file(outputs[0]).items()}
    assert shapes == {"forget": (16, 10), "retain:50": (50, 10), "test": (60, 10)}


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        ({"show": "table", "x": "epsilon", "y": "forget_loss"}, "'table' has no 'x'"),
        ({"show": "histogram", "y": "epsilon_share"}, "'histogram' needs an 'x'"),
        ({"show": "scatter", "x": "forget_los", "y": "forget_loss"}, "'forget_loss'"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_refused(
    cli: Cli, tmp_path: Path, figure: dict[str, str], said: str
) -> None:
    (tmp_path / "spec.yaml").write_text(
        yaml.safe_dump({**SPEC, "figures": [{"title": "T", **figure}]})
    )
    done = cli("validate", "spec.yaml")
    assert done.returncode == 2
    assert said in done.stderr + done.stdout
