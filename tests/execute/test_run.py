"""A whole run through the command line: from YAML to a report, again, and in parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import TINY, Cli
from harness.errors import HarnessError
from harness.execute import environment, run
from harness.methods import last_layers


def results(folder: Path) -> dict:
    found = json.loads((folder / "results.json").read_text())
    found.pop("provenance")
    return found


def test_a_run_writes_the_whole_report(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    done = cli("run", tiny, "--jobs", 1)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "results" / "tiny" / "default"
    names = {file.name for file in out.iterdir()}
    assert names == {
        "results.json", "report.md", "report.html", "checklist.md", "trade_off.svg",
        "trigger_1.png", "figure_1.svg",
    }  # fmt: skip
    found = results(out)
    assert len(found["rows"]) == 8
    assert sum(row["selected"] for row in found["rows"]) == 6
    base = next(r for r in found["rows"] if r["method"] == "none")["metrics"]
    assert base["accuracy_drop"] == base["cost_share"] == 0
    assert base["clean_accuracy"] > 0.15  # chance is 0.1
    assert "19/19" in done.stderr


def test_the_same_command_again_computes_nothing_and_gives_the_same(
    cli: Cli, tiny: Path, tmp_path: Path
) -> None:
    cli("run", tiny, "--jobs", 1, "--out", "a")
    done = cli("run", tiny, "--out", "b")
    assert "19 cached, 0 to compute" in done.stderr
    assert results(tmp_path / "a") == results(tmp_path / "b")
    assert (tmp_path / "a/trade_off.svg").read_bytes() == (
        tmp_path / "b/trade_off.svg"
    ).read_bytes()


@pytest.mark.parametrize(("processors", "noted"), [(1, True), (2, False)])
def test_more_stages_at_once_than_the_processors_can_carry_are_noted(
    cli: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch, processors: int, noted: bool
) -> None:
    def refuse(*_: object) -> None:
        raise HarnessError("no processes in this test")

    monkeypatch.setattr(environment, "cpu_count", lambda: processors)
    monkeypatch.setattr(run, "Processes", refuse)
    done = cli("run", tiny, "--jobs", 2)
    assert "no processes in this test" in done.stderr
    assert ("--jobs 1 is faster" in done.stderr) == noted


@pytest.mark.slow
def test_two_processes_give_the_same_bytes_as_one(
    cli: Cli, process: Cli, tiny: Path, tmp_path: Path
) -> None:
    cli("run", tiny, "--jobs", 1, "--out", "a", "--store", "one")
    done = process("run", tiny, "--jobs", 2, "--out", "b", "--store", "two")
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "a") == results(tmp_path / "b")
    assert tensors(tmp_path / "one") == tensors(tmp_path / "two")


def tensors(store: Path) -> dict[str, bytes]:
    return {str(f.relative_to(store)): f.read_bytes() for f in store.rglob("*.safetensors")}


def test_only_the_chosen_and_the_kept_candidates_keep_their_weights(
    cli: Cli, tiny: Path, tmp_path: Path, finished: Path
) -> None:
    cli("run", tiny, "--jobs", 1)
    found = results(tmp_path / "results/tiny/default")
    for row in found["rows"]:
        key = row["keys"]["unlearn"]
        folder = tmp_path / "store" / "unlearn" / key[:2] / key
        assert (folder / "record.json").exists()
        assert (folder / "tensors.safetensors").exists() == row["selected"]
    tiny.write_text(TINY.replace("  - name: ssd\n", "  - name: ssd\n    keep: yes\n"))
    cli("run", tiny, "--jobs", 1, "--store", "kept")
    assert len(list((tmp_path / "kept" / "unlearn").rglob("tensors.safetensors"))) == 7


def test_a_new_metric_measures_dropped_candidates_again(
    cli: Cli, tiny: Path, finished: Path
) -> None:
    tiny.write_text(TINY.replace("metrics: [", "metrics: [healed, "))
    done = cli("run", tiny, "--jobs", 1)
    assert done.returncode == 0, done.stderr
    # 7 evaluations, and the 2 candidates whose weights were dropped.
    assert "9 to compute" in done.stderr


def test_dry_run_and_plan_compute_nothing(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    done = cli("run", tiny, "--dry-run")
    assert done.returncode == 0
    assert "8 points of the tables need 19 unique stages, of which 6 train" in done.stdout
    assert not (tmp_path / "store").exists()


BAD = "  - {name: retrain_last_k, label: bad, k: 1}\n"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise HarnessError("nothing is trained today")

    monkeypatch.setattr(last_layers, "_train_last", refuse)


@pytest.mark.usefixtures("broken")
def test_a_stage_that_raises_stops_only_its_dependants(
    cli: Cli, tiny: Path, tmp_path: Path
) -> None:
    tiny.write_text(TINY.replace("  - none\n", "  - none\n" + BAD))
    done = cli("run", tiny, "--jobs", 1)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert "nothing is trained today" in done.stdout
    assert "2 stages failed, 2 were not run" in done.stdout
    found = results(tmp_path / "results/tiny/default")
    assert {row["method"] for row in found["rows"]} == {"none", "retrain", "ssd"}
    assert "failed" in (tmp_path / "results/tiny/default/report.md").read_text()


@pytest.mark.usefixtures("broken")
def test_fail_fast_stops_at_the_first_failure(cli: Cli, tiny: Path) -> None:
    tiny.write_text(TINY.replace("methods:\n", "methods:\n" + BAD))
    done = cli("run", tiny, "--jobs", 1, "--fail-fast")
    assert done.returncode == 1
    assert "unlearn retrain [" not in done.stderr


def test_more_than_max_cost_fails_the_method_with_code_3(cli: Cli, tiny: Path) -> None:
    dear = "  - {name: finetune, steps: 30, max_cost: 0.5}\n"
    tiny.write_text(TINY.replace("methods:\n", "methods:\n" + dear))
    done = cli("run", tiny, "--jobs", 1)
    assert done.returncode == 3
    assert "max_cost 0.5" in done.stdout


def test_a_plan_over_its_flop_budget_does_not_start(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    done = cli("run", tiny, "--set", "budget.exaflop=1e-12")
    assert done.returncode == 3
    assert "budget is 1e-12" in done.stderr
    assert not list((tmp_path / "store").rglob("record.json"))


def test_the_json_log_has_every_event(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    cli("run", tiny, "--jobs", 1, "--json-log", "log.jsonl")
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    names = [event["event"] for event in events]
    assert names[0] == "planned"
    assert names.count("started") == names.count("finished") == 19
    assert any(e["event"] == "step" and e["loss"] is not None for e in events)


def test_seeds_profile_and_set_reach_the_report(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    args = ("--profile", "smoke", "--seeds", "3,4", "--only", "method=none", "--jobs", 1)
    done = cli("run", tiny, *args)
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "results/tiny/smoke")
    assert {row["seed"] for row in found["rows"]} == {3, 4}
    assert found["spec"]["train"]["steps"] == 5
    assert found["summary"][0]["metrics"]["clean_accuracy"]["n"] == 2


def test_data_that_are_not_there_are_said_to_be_missing_with_code_5(cli: Cli, tiny: Path) -> None:
    tiny.write_text(TINY.replace("dataset: digits", "dataset: cifar10"))
    done = cli("run", tiny, "--jobs", 1, "--offline", "--data-root", "nowhere")
    assert done.returncode == 5
    assert "nowhere/cifar10/train-*.parquet" in done.stdout


def test_other_data_under_the_same_name_are_not_mixed(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    from PIL import Image

    def write(root: str, shade: int) -> None:
        for part in ("train", "test"):
            for label in range(2):
                folder = tmp_path / root / "mine" / part / str(label)
                folder.mkdir(parents=True)
                for i in range(20):
                    colour = (shade, 100 * label, 10 * i)
                    Image.new("RGB", (8, 8), colour).save(folder / f"{i}.png")

    write("one", 0)
    write("two", 50)
    text = TINY.replace(
        "{dataset: digits, train_samples: 300, test_samples: 100, validation: 0.1}",
        "{dataset: {name: image_folder, folder: mine, size: 8, classes: 2}}",
    )
    tiny.write_text(text)
    args = ("run", tiny, "--jobs", 1, "--only", "method=none")
    assert cli(*args, "--data-root", "one").returncode == 0
    tiny.write_text(text.replace("clean_accuracy, ", "clean_accuracy, healed, "))
    done = cli(*args, "--data-root", "two")
    assert done.returncode == 4
    assert "the store holds results for other data" in done.stdout


def test_a_data_folder_cannot_escape_the_data_root(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    tiny.write_text(
        TINY.replace("{dataset: digits,", "{dataset: {name: image_folder, folder: ../..},")
    )
    done = cli("run", tiny, "--jobs", 1, "--data-root", "root")
    assert done.returncode == 1
    assert "leaves the data root" in done.stdout


def test_a_run_that_measures_nothing_leaves_an_earlier_report_alone(
    cli: Cli, tiny: Path, tmp_path: Path, finished: Path
) -> None:
    assert cli("run", tiny, "--jobs", 1, "--out", "out").returncode == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    args = ("--set", "data.dataset=cifar10", "--offline", "--jobs", 1)
    done = cli("run", tiny, *args, "--out", "out")
    assert done.returncode == 5, done.stderr
    assert "no report is written and out stays as it is" in done.stdout
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}


def test_a_score_that_cannot_be_computed_chooses_nothing_and_loses_no_report(
    cli: Cli, tiny: Path, tmp_path: Path
) -> None:
    tiny.write_text(TINY.replace("metrics: [", "metrics: [search, "))
    for rule in ("-ptn_steps", "unlearned_gain / (accuracy_drop - accuracy_drop)"):
        change = f"methods.ssd.select={{maximize: {rule}}}"
        done = cli("run", tiny, "--jobs", 1, "--set", change, "--out", "out")
        assert done.returncode == 0, done.stderr
    rows = results(tmp_path / "out")["rows"]
    assert [r["candidate"] for r in rows if r["method"] == "ssd" and r["selected"]]
