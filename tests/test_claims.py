"""Claims over several specs: the file, what judges it, and who must not trip over it."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from conftest import ROOT, Cli
from harness.spec.load import load_claims
from harness.spec.places import SpecError
from harness.spec.schema import claims_schema
from harness.spec.structure import structure_claim, unstructure_settings

SPEC = """\
harness: 1
id: ID
version: 1.0.0
seeds: [0, 1, 2]
data: {dataset: digits, train_samples: 200, test_samples: 100}
corruption: {name: badnet, patch: 2, place: top_left, share: 0.1}
model: {name: mlp}
train: {steps: STEPS, batch_size: 32, optimizer: {name: sgd, lr: 0.1}}
forget: corrupted
methods: [none, retrain]
metrics: [clean_accuracy, cost]
profiles:
  smoke: {train.steps: 2}
"""
CLAIMS = """\
harness: 1
id: both
claims:
  - {metric: clean_accuracy, method: none, value: VALUE, unit: "%", tolerance: 20, where: T1, specs: [one, two]}
  - {claim: order, metric: cost_share, methods: [none, retrain], where: T2, specs: [one, two]}
  - {claim: order, metric: cost_share, methods: [none, retrain], where: T2, specs: [one, three]}
"""


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    folder = tmp_path / "specs"
    folder.mkdir()
    for name, steps in (("one", 40), ("two", 60), ("three", 40)):
        text = SPEC.replace("ID", name).replace("STEPS", str(steps))
        (folder / f"{name}.yaml").write_text(text)
    (folder / "claims.yaml").write_text(CLAIMS.replace("VALUE", "50"))
    return folder


def test_a_claims_file_joins_the_results_of_two_runs(cli: Cli, specs: Path) -> None:
    for name in ("one", "two"):
        done = cli("run", specs / f"{name}.yaml", "--jobs", 1)
        assert done.returncode == 0, done.stderr
    files = [
        specs.parent / "results" / name / "default" / "results.json" for name in ("one", "two")
    ]
    by_seed: dict[int, list[float]] = {}
    for file in files:
        for row in json.loads(file.read_text())["rows"]:
            if row["method"] == "none":
                by_seed.setdefault(row["seed"], []).append(row["metrics"]["clean_accuracy"])
    mean = 100 * fmean(map(fmean, by_seed.values()))

    (specs / "claims.yaml").write_text(CLAIMS.replace("VALUE", f"{mean:.0f}"))
    done = cli("claims", "specs", "results")
    assert done.returncode == 0, done.stderr
    number, order, other = [line for line in done.stdout.splitlines() if " | T" in line]
    assert f"{mean:.3f} \\[" in number
    assert "| reproduced " in number
    assert "none before retrain in cost_share" in order
    assert "none − retrain: -1" in order  # without the corrupted tenth it costs as much
    assert "| reproduced " in order
    assert "not comparable" in other
    assert "no results of three at results/three/default" in other

    (specs / "claims.yaml").write_text(CLAIMS.replace("VALUE", f"{(mean + 50) % 100:.0f}"))
    done = cli("claims", specs / "claims.yaml", "results", "--format", "latex")
    assert done.returncode == 1
    assert "deviates" in done.stdout
    assert "1 of 3 claims deviate" in done.stderr

    done = cli("claims", "specs", "results", "--profile", "smoke")
    assert done.returncode == 0
    assert done.stdout.count("no results of one at results/one/smoke") == 3


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("three]", "thre]", "6:84", ["no spec 'thre'", "did you mean 'three'"]),
        (", specs: [one, three]", "", "6:5", ["'specs' is missing"]),
        ("method: none", "method: nome", "4:38", ["in the spec 'one'", "did you mean 'none'"]),
        ("VALUE", "500", "4:51", ["found 500", "0 to 100"]),
        ("id: both", "ide: both", "2:1", ["unknown key 'ide'", "did you mean 'id'"]),
        ("harness: 1", "harness: 2", "1:10", ["version 2"]),
        ("claim: order", "claim: oder", "5:13", ["did you mean 'order'"]),
        ("claims:", "claims: 3\nmore:", "3:9", ["a list"]),
    ],
)
def test_what_is_wrong_in_a_claims_file_is_said_with_its_place(
    old: str, new: str, place: str, words: list[str], cli: Cli, specs: Path
) -> None:
    assert old in CLAIMS
    (specs / "claims.yaml").write_text(CLAIMS.replace(old, new).replace("VALUE", "50"))
    for command in ("validate", "claims"):
        done = cli(command, "specs")
        assert done.returncode == 2
        assert f"specs/claims.yaml:{place}:" in done.stderr
        assert all(word in done.stderr for word in words), done.stderr
        assert "Traceback" not in done.stderr


def test_who_walks_over_specs_does_not_take_a_claims_file_for_one(cli: Cli, specs: Path) -> None:
    done = cli("validate", "specs")
    assert done.returncode == 0, done.stderr
    assert "specs/claims.yaml: ok (both, 3 claims)" in done.stdout
    (specs.parent / "registry").mkdir()
    assert cli("registry", "check").returncode == 0
    for command in ("run", "plan", "describe"):
        done = cli(command, "specs/claims.yaml")
        assert done.returncode == 2
        assert "no spec; try 'harness claims specs/claims.yaml'" in done.stderr


def test_a_folder_without_claims_files_says_what_they_are_called(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = cli("claims", "empty")
    assert done.returncode == 2
    assert "no claims file (*claims.yaml)" in done.stderr


def test_a_hostile_claims_file_is_refused(tmp_path: Path) -> None:
    for text in ("", "[1]", "harness: 1\nid: a\nclaims: [&a {at: *a}]", "claims: !!python/none 1"):
        file = tmp_path / "claims.yaml"
        file.write_text(text)
        with pytest.raises(SpecError):
            load_claims(file)


def test_potion_states_each_of_its_averages_once() -> None:
    found = load_claims(ROOT / "specs" / "potion" / "claims.yaml")
    stated = [(c.claim, c.metric, getattr(c, "method", "")) for c in found.claims]
    assert len(stated) == len(set(stated)) == 27
    assert {claim.specs for claim in found.claims} == {("potion-cifar10", "potion-cifar100")}


WORDS = st.text("abc-", min_size=1, max_size=4)
SUBJECT = {
    "metric": WORDS,
    "where": st.text(max_size=9),
    "over": st.lists(WORDS, max_size=2),
    "at": st.dictionaries(WORDS, st.integers() | WORDS, max_size=2),
    "specs": st.lists(WORDS, max_size=2),
}
BETTER = st.sampled_from([None, "higher", "lower"])
NUMBERS = st.fixed_dictionaries(
    {
        **SUBJECT,
        "claim": st.just("number"),
        "method": WORDS,
        "value": st.floats(-1e6, 1e6),
        "unit": st.sampled_from(["share", "%", "points", "s", "h", ""]),
        "tolerance": st.floats(0, 1e6),
        "beyond": st.text(max_size=3),
    }
)
VALUES = st.lists(WORDS | st.integers(0, 9) | st.booleans() | st.floats(0, 1), max_size=4)
ORDERS = st.fixed_dictionaries(
    {
        **SUBJECT,
        "claim": st.just("order"),
        "methods": st.lists(WORDS, max_size=3),
        "method": WORDS,
        "axis": WORDS,
        "values": VALUES,
        "better": BETTER,
    }
)
ALIKE = st.fixed_dictionaries(
    {
        **SUBJECT,
        "claim": st.just("same_order"),
        "like": WORDS,
        "method": WORDS,
        "axis": WORDS,
        "values": VALUES,
        "tau": st.floats(0, 0.99),
    }
)
DIRECTIONS = st.fixed_dictionaries(
    {
        **SUBJECT,
        "claim": st.sampled_from(["removes", "does_not_remove"]),
        "method": WORDS | st.just("*"),
        "against": WORDS,
        "tolerance": st.floats(0, 1e6),
        "better": BETTER,
    }
)
VALIDATOR = Draft7Validator(claims_schema())


@given(NUMBERS | ORDERS | ALIKE | DIRECTIONS)
def test_every_claim_is_read_and_written_without_loss(plain: dict) -> None:
    assert unstructure_settings(structure_claim(plain)) == plain
    held = {"harness": 1, "id": "a", "claims": [plain]}
    assert not list(VALIDATOR.iter_errors(held))
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain
    held["claims"] = [{**plain, "surprise": 1}]
    assert list(VALIDATOR.iter_errors(held))
