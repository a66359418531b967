"""Masking by hand, its controls, and the whole of it through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from conftest import Cli
from harness.components import NoSettings, get
from harness.data.encodings import Features
from harness.data.pool import Pool
from harness.data.types import Split
from harness.errors import HarnessError
from harness.methods.key_masks import _most_used
from harness.methods.last_layers import LastLayers
from harness.methods.task import Task
from harness.metrics.evidence import Evidence
from harness.models._bottleneck import KeyValueBottleneck
from harness.models.key_value_bottleneck import Bottleneck
from harness.report.chosen import choices
from harness.report.read import read_results
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.training.watch import Unwatched

RECIPE: Train = structure_block(
    Train, {"epochs": 4, "batch_size": 4, "optimizer": {"name": "sgd", "lr": 9.0, "momentum": 0}}
)


def by_hand() -> KeyValueBottleneck:
    """One codebook with keys at 0, 1, 2, 3 on a line; classes 0 and 1 have values on two each."""
    model = KeyValueBottleneck(Bottleneck(codebooks=1, pairs=4, key_size=1), 1, 2)
    model.projections.fill_(1)
    model.keys.copy_(torch.arange(4.0).view(1, 4, 1))
    model.values.weight.data = torch.tensor([[2.0, 0.0], [3.0, 0.0], [0.0, 4.0], [0.0, 5.0]])
    model.uses.copy_(torch.tensor([[3, 1, 2, 1]]))
    model.placed.fill_(True)
    return model.eval()


FORGET = torch.tensor([[0.1], [0.2], [-0.1], [1.1]])  # selects 0 three times, 1 once
RETAIN = torch.tensor([[2.1], [1.9], [3.2]])


def pool(x: torch.Tensor, label: int) -> Pool:
    y = torch.full((len(x),), label)
    return Pool(Split(x, y), torch.arange(len(x)), encoding=Features(1))


def task(model: KeyValueBottleneck, *sees: str) -> Task:
    forget = pool(FORGET, 0)
    counts = {"counts": model.counts(forget, Unwatched())}
    return Task(
        method="test",
        sees=frozenset(sees),
        pools={"forget": forget, "retain": pool(RETAIN, 1)},
        original=by_hand,
        build=lambda seed: KeyValueBottleneck(model.settings, 1, 2),
        recipe=RECIPE,
        classes=2,
        device=torch.device("cpu"),
        seed="stage",
        watch=Unwatched(),
        prepared={("key_counts", "forget"): counts},
    )


def unlearned(name: str, **settings: object) -> tuple[KeyValueBottleneck, Task]:
    component, model = get("methods", name), by_hand()
    given = task(model, *component.traits.sees)
    use = structure_use("methods", {"name": name, **settings})
    return component.function(model, given, use.settings), given


def test_the_pair_that_the_forget_set_selects_most_is_masked_and_the_next_key_is_fetched() -> None:
    model, given = unlearned("mask_activations", pairs=1)
    assert model.masked.tolist() == [[1, 0, 0, 0]]
    assert model(FORGET[:1]).tolist() == [[3.0, 0.0]]
    assert model(RETAIN).tolist() == [[0.0, 4.0], [0.0, 4.0], [0.0, 5.0]]
    assert given.facts == {"masked_pairs": 1, "masked_share": 0.25}
    series = given.series
    assert (series["pairs_share"][0], series["pairs_share"][-1]) == (0, 1)
    assert (series["forget"][10], series["retain"][10]) == (0.75, 0)  # after one of four pairs
    assert (series["forget"][20], series["retain"][20]) == (1, 0)


def test_a_masked_pair_that_stays_selected_gives_nothing() -> None:
    model, _ = unlearned("mask_activations", pairs=1, masking="zero")
    assert model(FORGET[:1]).tolist() == [[0.0, 0.0]]


def test_no_pair_masked_is_the_base_model_and_no_more_than_the_forget_set_uses_ever_are() -> None:
    for name, settings in (("mask_activations", {"pairs": 0}), ("mask_examples", {"examples": 0})):
        model, _ = unlearned(name, **settings)
        assert not model.masked.any()
    model, _ = unlearned("mask_activations", pairs=99)
    assert model.masked.tolist() == [[1, 1, 0, 0]]
    assert model(FORGET).argmax(1).tolist() == [1, 1, 1, 1]


def test_every_pair_of_the_drawn_examples_is_masked_and_counted() -> None:
    model, given = unlearned("mask_examples", examples=4)
    assert model.masked.tolist() == [[1, 1, 0, 0]]
    assert given.watch.meter.as_dict() == {"forward": 4, "backward": 0, "steps": 0}


def test_a_codebook_without_a_pair_left_gives_nothing() -> None:
    model, _ = unlearned("mask_random", pairs=9)
    assert model.masked.all()
    assert model(FORGET).tolist() == [[0.0, 0.0]] * 4


def test_the_same_number_of_each_codebook() -> None:
    counts = torch.tensor([[9, 8, 7], [1, 2, 0]])
    assert _most_used(counts, "all")[:3].tolist() == [0, 1, 2]
    assert _most_used(counts, "codebook")[:5].tolist() == [0, 4, 1, 3, 2]


@pytest.mark.parametrize("name", ["key_value_bottleneck", "mlp"])
def test_a_dropped_logit_is_never_the_largest(name: str) -> None:
    model = by_hand() if name != "mlp" else torch.nn.Sequential(torch.nn.Linear(1, 2))
    before = model(RETAIN)[:, 1].detach()
    component = get("methods", "drop_logit")
    found = component.function(model, task(by_hand(), "forget"), NoSettings())
    assert found(torch.cat([FORGET, RETAIN])).argmax(1).tolist() == [1] * 7
    assert torch.equal(found(RETAIN)[:, 1], before)


def test_values_trained_again_keep_the_keys_and_know_nothing_of_the_class() -> None:
    component = get("methods", "retrain_last_k")
    model = by_hand()
    given = task(model, "retain", "original weights")
    found = component.function(model, given, LastLayers(k=1))
    assert torch.equal(found.keys, by_hand().keys) and torch.equal(found.uses, by_hand().uses)
    assert not found.values.weight[:2].any() and found.values.weight[2:].abs().sum() > 0


def test_other_models_are_refused_in_words() -> None:
    component = get("methods", "mask_random")
    settings = structure_use("methods", {"name": "mask_random", "pairs": 1}).settings
    with pytest.raises(HarnessError, match="has no key-value pairs"):
        component.function(torch.nn.Linear(1, 2), task(by_hand()), settings)


def test_overlap_by_hand() -> None:
    class Answers:
        def prepared(self, name: str, subset: str) -> dict[str, torch.Tensor]:
            train = torch.tensor([[3, 2, 2, 0]], dtype=torch.int32)
            return {"counts": torch.tensor([[3, 1, 0, 0]]) if subset == "forget" else train}

    evidence = Evidence(
        models=lambda which: by_hand(), pools={}, classes=2, target_class=None, costs={}, seed="",
        answers=Answers(),  # type: ignore[arg-type]
    )  # fmt: skip
    found = get("metrics", "key_overlap").function(evidence, NoSettings())
    assert found == pytest.approx(
        {
            "forget_pairs": 2 / 3,
            "forget_pairs_alone": 1 / 2,
            "forget_pairs_mostly": 1 / 2,
            "key_overlap": 1 / 4,  # forget 3/4, 1/4, 0; retain 0, 1/3, 2/3
        }
    )


SPEC = """\
harness: 1
id: masks
version: 1.0.0
seeds: [0]
data: {dataset: digits, train_samples: 400, test_samples: 120, features: {name: random_projection, size: 32}}
model: {name: key_value_bottleneck, codebooks: 16, pairs: 32, key_size: 6, key_epochs: 2, key_batch_size: 64, gradient: sparse}
train: {epochs: 12, batch_size: 64, optimizer: {name: sgd, lr: 30, momentum: 0}, label_smoothing: 0.1, clip_norm: 1.0}
forget: {set: class, label: 0}
methods:
  - none
  - retrain
  - {name: retrain_last_k, k: 1}
  - name: mask_activations
    pairs: {sweep: [0, 10, 20, 40]}
    select: {minimize: "max(forget_accuracy, 0.01)"}
  - {name: mask_examples, examples: 30}
  - {name: mask_random, pairs: 20}
  - drop_logit
  - {name: scrub, lr: 10, epochs: 2, max_epochs: 1}
metrics: [clean_accuracy, forget_accuracy, retain_accuracy, key_overlap, cost]
"""


def test_masking_beside_its_controls_from_a_spec_to_results(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    done = cli("run", "spec.yaml", "--out", "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    results = read_results(tmp_path / "out")
    rows = {row.method: row for row in results.rows if row.selected}
    base, masked = rows["none"].metrics, rows["mask_activations"].metrics
    assert base["forget_accuracy"] > 0.8 and base["retain_accuracy"] > 0.7
    assert masked["forget_accuracy"] < 0.05
    assert masked["retain_accuracy"] > base["retain_accuracy"] - 0.2
    assert 0 < masked["cost_share"] < 0.02
    assert all(rows[m].metrics["forget_accuracy"] == 0 for m in ("retrain", "retrain_last_k"))
    assert rows["drop_logit"].metrics["forget_accuracy"] == 0
    assert rows["mask_random"].metrics["forget_accuracy"] > 0.6
    assert 0 < base["key_overlap"] < 0.9
    assert choices(results)["mask_activations"] == "training"
    zero = next(row for row in results.rows if row.candidate == {"pairs": 0})
    assert zero.metrics["retain_accuracy"] == base["retain_accuracy"]
