"""Metrics against hand-worked cases and other people's formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

from harness.components import get
from harness.data.encodings import Features, Images
from harness.data.pool import Pool
from harness.data.types import Split
from harness.errors import HarnessError
from harness.metrics.evidence import Evidence
from harness.metrics.membership import MembershipInference, attack, signals, true_positives
from harness.spec.structure import structure_use

ENCODING = Images((1, 1, 1), mean=(0.0,), std=(1.0,))


class Shown(torch.nn.Module):
    """A model whose logits for a 1x1 image of intensity i are row i of a table."""

    def __init__(self, table: list[list[float]]) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.tensor(table))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.table[(x.flatten(1)[:, 0] * 255).round().long()]


def pool(intensities: list[int], labels: list[int]) -> Pool:
    images = torch.tensor(intensities, dtype=torch.uint8).view(-1, 1, 1, 1)
    split = Split(images, torch.tensor(labels))
    return Pool(split, torch.arange(len(labels)), encoding=ENCODING)


def one_hot(*predictions: int) -> list[list[float]]:
    return [[5.0 * (c == p) for c in range(3)] for p in predictions]


def evidence(
    unlearned: list[int], original: list[int], labels: list[int], target: int | None = 0
) -> Evidence:
    tables = {"unlearned": one_hot(*unlearned), "original": one_hot(*original)}
    tables["reference"] = tables["original"]
    same = pool(list(range(len(labels))), labels)
    return Evidence(
        models=lambda which: Shown(tables[which]),
        pools={"test": same, "test_triggered": same, "forget": same, "retain": same},
        classes=3,
        target_class=target,
        costs={"base": {"forward": 100, "backward": 100}, "method": {"forward": 30}},
        seed="s",
    )


def measure(name: str, found: Evidence, **settings: object) -> dict[str, float]:
    use = structure_use("metrics", {"name": name, **settings})
    values = get("metrics", name).function(found, use.settings)
    assert set(values) == set(get("metrics", name).traits.outputs(use.settings))
    return values


def test_backdoor_metrics_leave_out_the_target_class_as_worked_by_hand() -> None:
    #          labels 0 0 1 1 2 2; the first two are of the target class and do not count.
    found = evidence([0, 1, 0, 1, 2, 1], [0, 0, 0, 0, 0, 2], [0, 0, 1, 1, 2, 2])
    assert measure("attack_success_rate", found)["attack_success_rate"] == 1 / 4
    assert measure("healed", found)["healed"] == 2 / 4
    assert measure("unlearned_gain", found)["unlearned_gain"] == 3 / 4 - 1 / 4
    with_target = measure("attack_success_rate", found, include_target=True)
    assert with_target["attack_success_rate_all"] == 2 / 6


def test_accuracies_and_their_drop_as_worked_by_hand() -> None:
    found = evidence([0, 1, 0, 1], [0, 1, 1, 2], [0, 1, 1, 2])
    assert measure("clean_accuracy", found)["clean_accuracy"] == 0.5
    assert measure("accuracy_drop", found)["accuracy_drop"] == 0.5
    assert measure("forget_accuracy", found)["forget_accuracy"] == 0.5


def test_an_attack_without_a_target_is_refused() -> None:
    with pytest.raises(HarnessError, match="no target class"):
        measure("attack_success_rate", evidence([0], [0], [1], target=None))
    with pytest.raises(HarnessError, match="nothing can be attacked"):
        measure("healed", evidence([0], [0], [0]))


def test_a_missing_split_is_named() -> None:
    with pytest.raises(HarnessError, match="'validation'"):
        measure("validation_accuracy", evidence([0], [0], [0]))


def test_cost_counts_a_backward_pass_as_two_forward_passes() -> None:
    assert measure("cost", evidence([0], [0], [0]))["cost_share"] == 30 / 300


def test_distance_to_the_retrained_model_agrees_with_scipy() -> None:
    found = evidence([0, 1, 2], [0, 2, 2], [0, 1, 2])
    values = measure("retrain_distance", found)
    p, q = (softmax(np.array(one_hot(*rows)), 1) for rows in ([0, 2, 2], [0, 1, 2]))
    assert values["kl_to_retrain"] == pytest.approx(
        np.mean([entropy(a, b) for a, b in zip(p, q, strict=True)]), rel=1e-5
    )
    assert values["disagreement_with_retrain"] == 1 / 3
    assert values["weight_distance_to_retrain"] == pytest.approx(50**0.5)


def shifted(moved: list[list[float]], batch_size: int) -> list[float]:
    """``parameter_shift`` of the weights (0, 0) of two logits, to ``moved``, where the retain set
    is 1.0 of class 0 and 1.0 of class 1 and, twice, of class 0."""
    models = {"original": torch.nn.Linear(1, 2, bias=False)}
    torch.nn.init.zeros_(models["original"].weight)
    models["unlearned"] = torch.nn.Linear(1, 2, bias=False)
    models["unlearned"].weight.data = torch.tensor(moved)
    ones = Split(torch.full((4, 1), 1.0), torch.tensor([0, 1, 0, 0]))
    found = Evidence(
        models=lambda which: models[which],
        pools={"retain": Pool(ones, torch.arange(4), encoding=Features(1))},
        classes=2,
        target_class=None,
        costs={},
        seed="s",
    )
    return list(measure("parameter_shift", found, batch_size=batch_size).values())


def test_the_shift_and_its_cosines_as_worked_by_hand() -> None:
    # At weights of 0 both classes have 1/2: a step on class 0 is along (1, -1), on class 1 against.
    along = (3 + 1) / (10 * 2) ** 0.5
    assert shifted([[3.0], [-1.0]], 4) == pytest.approx([4, along, along])
    assert shifted([[3.0], [-1.0]], 1) == pytest.approx([4, along, along * (3 - 1) / 4])
    assert shifted([[-0.5], [0.5]], 4) == pytest.approx([1, -1, -1])
    assert shifted([[2.0], [2.0]], 1) == pytest.approx([4, 0, 0])
    assert shifted([[0.0], [0.0]], 1) == [0, 0, 0]


def test_membership_signals_agree_with_scipy() -> None:
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 5
    found = signals(logits, labels)
    p = softmax(logits.double().numpy(), 1)
    np.testing.assert_allclose(found["entropy"].numpy(), entropy(p.T), rtol=1e-4)
    np.testing.assert_allclose(found["confidence"].numpy(), p.max(1), rtol=1e-5)
    np.testing.assert_allclose(found["loss"].numpy(), -np.log(p[np.arange(20), labels]), rtol=1e-4)


def test_the_attack_is_at_chance_on_equal_and_certain_on_separate_losses() -> None:
    draws = np.random.default_rng(0)
    settings = MembershipInference()
    same, other = draws.normal(size=(2, 1000))
    assert attack(same, other, settings) == pytest.approx(0.5, abs=0.05)
    assert attack(same - 50, other + 50, settings) == 1.0


def test_the_split_of_the_starting_kit_is_that_of_scikit_learn() -> None:
    # Dossier of the challenge, 2.4: ten shuffle splits with the default test size, random state 0.
    kit = StratifiedShuffleSplit(n_splits=10, random_state=0)
    members, others = np.random.default_rng(0).normal([[0.3], [0]], size=(2, 100))
    x, y = np.concatenate([members, others])[:, None], np.repeat([1, 0], 100)
    expected = cross_val_score(LogisticRegression(), x, y, cv=kit, scoring="accuracy").mean()
    found = {share: attack(members, others, MembershipInference(test_share=share))
             for share in (0.1, 0.3)}  # fmt: skip
    assert found[0.1] == pytest.approx(expected)
    assert found[0.3] != pytest.approx(expected)


def test_membership_inference_needs_samples_on_both_sides() -> None:
    with pytest.raises(HarnessError, match="4 samples"):
        measure("membership_inference", evidence([0] * 3, [0] * 3, [0, 1, 2]))


@pytest.mark.parametrize(
    ("members", "others", "rate", "expected"),
    [
        # Two of ten may be below: the threshold is the third smallest, 0.3, which is not below.
        ([0.05, 0.25, 0.3, 0.9], [0.1 * i for i in range(1, 11)], 0.2, 2 / 4),
        ([0.05, 0.25, 0.3, 0.9], [0.1 * i for i in range(1, 11)], 0.29, 2 / 4),
        # Fewer samples than 1 / rate: only what is below all of them.
        ([0.05, 0.1, 0.25], [0.1, 0.2, 0.3], 0.01, 1 / 3),
        # Ties: the three zeros would be 60 % of the others, more than may be below a threshold.
        ([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0, 2.0], 0.4, 0.0),
        ([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0, 2.0], 0.6, 3 / 4),
        ([0.5], [0.7], 0.99, 1.0),
    ],
)
def test_true_positives_at_a_rate_of_false_ones_as_worked_by_hand(
    members: list[float], others: list[float], rate: float, expected: float
) -> None:
    assert true_positives(torch.tensor(members), torch.tensor(others), rate) == expected


def test_a_rate_of_a_hundred_samples_is_not_one_sample_short() -> None:
    others = torch.arange(100).double()
    for allowed in range(1, 100):
        found = true_positives(others, others, allowed / 100)
        assert found == allowed / 100


def test_the_rate_of_false_positives_adds_a_number_and_moves_none() -> None:
    # One of four test samples and three of four forget samples have a small loss, of e^-20 and
    # less, which is 0 in float32.
    labels = [0, 0, 0, 0]
    tables = {"unlearned": [[1.0, 2, 0], [20.0, 0, 0], [30.0, 0, 0], [25.0, 0, 0]]}
    splits = {"forget": [0, 1, 2, 3], "test": [0, 0, 0, 1]}
    found = Evidence(
        models=lambda which: Shown(tables[which]),
        pools={name: pool(rows, [labels[i] for i in rows]) for name, rows in splits.items()},
        classes=3,
        target_class=None,
        costs={},
        seed="s",
    )
    without = measure("membership_inference", found)
    asked = measure("membership_inference", found, false_positive_rate=0.25)
    assert asked == {**without, "mia_tpr": 3 / 4}
    assert measure("membership_inference", found, false_positive_rate=0.01)["mia_tpr"] == 2 / 4


def test_every_metric_says_which_way_is_better() -> None:
    from harness.components import load

    for component in load("metrics").values():
        names, better = (
            component.traits.outputs(component.settings()),
            component.traits.better,
        )
        found = dict.fromkeys(names, better) if isinstance(better, str) else better
        assert set(found) == set(names), component.name
        assert set(found.values()) <= {"higher", "lower", "none"}, component.name


def sample(
    unlearned: list[int], original: list[int], labels: list[int], **splits: list[int]
) -> Evidence:
    """Evidence whose splits are given rows of one table of predictions."""
    tables = {"unlearned": one_hot(*unlearned), "original": one_hot(*original)}
    pools = {name: pool(rows, [labels[i] for i in rows]) for name, rows in splits.items()}
    return Evidence(
        models=lambda which: Shown(tables[which]),
        pools=pools,
        classes=3,
        target_class=0,
        costs={},
        seed="s",
        facts={"steps": 3.0, "percentile": 99.5, "dampened": 0.01},
    )


# The first four are clean images, the others triggered ones.
LABELS = [1, 2, 1, 2, 1, 2, 1, 2]
ORIGINAL = [1, 2, 1, 0, 0, 0, 0, 0]  # 3 of 4 without the trigger, none with it
UNLEARNED = [1, 2, 0, 0, 1, 2, 0, 2]
SPLITS = {
    "test": [0, 1, 2, 3],
    "test_triggered": [4, 5, 6, 7],
    "corrupted_clean": [0, 1],
    "corrupted_triggered": [4, 6],
    "shuffled_triggered": [5, 7],
}


def test_every_candidate_of_healed_as_worked_by_hand() -> None:
    found = sample(UNLEARNED, ORIGINAL, LABELS, **SPLITS)
    assert measure("healed", found) == {"healed": 3 / 4}
    assert measure("healed", found, include_target=True) == {"healed_all": 3 / 4}
    assert measure("unlearned", found) == {"unlearned": 3 / 4}
    assert measure("healed_sm", found, shuffled=True) == {
        "healed_sm": 1 / 2, "sm_clean_accuracy": 1, "healed_sm_shuffled": 1,
    }  # fmt: skip
    assert set(measure("healed_sm", found)) == {"healed_sm", "sm_clean_accuracy"}
    normalised = measure("healed_normalised", found)
    assert normalised["healed_normalised"] == pytest.approx((3 / 4 - 0) / (3 / 4 - 0))
    assert normalised["healed_sm_normalised"] == pytest.approx((1 / 2 - 0) / (1 - 0))


@pytest.mark.parametrize(
    ("metric", "others", "everybody"),
    [
        ("healed", 1 / 2, 3 / 4),
        ("unlearned", 1 / 2, 1 / 4),
        ("attack_success_rate", 1 / 2, 3 / 4),
        ("unlearned_gain", 1 / 2, 1 / 4),
    ],
)
def test_samples_of_the_target_class_count_only_where_the_name_says_all(
    metric: str, others: float, everybody: float
) -> None:
    found = sample([0, 0, 0, 2], [0, 0, 0, 0], [0, 0, 1, 2], test_triggered=[0, 1, 2, 3])
    assert measure(metric, found) == {metric: others}
    assert measure(metric, found, include_target=True) == {f"{metric}_all": everybody}
    docs = get("metrics", metric).traits.docs
    said = structure_use("metrics", {"name": metric, "include_target": True}).settings
    assert "of all classes" in docs(said)[f"{metric}_all"]


def test_nothing_is_normalised_where_the_base_model_leaves_nothing_to_heal() -> None:
    found = sample(UNLEARNED, LABELS, LABELS, **SPLITS)
    component = get("metrics", "healed_normalised")
    assert component.function(found, component.settings()) == {}


def test_metrics_on_held_out_data_have_names_of_their_own() -> None:
    splits = {"validation": [0, 1], "validation_triggered": [4, 6], **SPLITS}
    found = sample(UNLEARNED, ORIGINAL, LABELS, **splits)
    assert measure("accuracy_drop", found, split="validation") == {"validation_accuracy_drop": 0}
    assert measure("unlearned_gain", found, split="validation") == {
        "validation_unlearned_gain": 1 - 1 / 2
    }
    needs = get("metrics", "unlearned_gain").traits.needs
    use = structure_use("metrics", {"name": "unlearned_gain", "split": "validation"})
    assert needs(use.settings) == {"corruption", "validation"}


def test_corrected_labels_are_measured_on_the_samples_and_on_their_classes() -> None:
    labels, unlearned = [0, 1, 2, 2], [0, 0, 2, 1]
    splits = {"test": [0, 1, 2, 3], "corrupted_clean": [2, 3]}
    found = sample(unlearned, labels, labels, **splits)
    assert measure("corrected", found) == {"corrected_accuracy": 0.5, "affected_accuracy": 0.5}


def test_how_far_a_search_went_is_reported_and_only_of_searches() -> None:
    found = sample(UNLEARNED, ORIGINAL, LABELS, **SPLITS)
    assert measure("search", found) == {
        "ptn_steps": 3, "ptn_percentile": 99.5, "ptn_dampened": 0.01,
    }  # fmt: skip
    found.facts = {}
    component = get("metrics", "search")
    assert component.function(found, component.settings()) == {}


def test_outputs_of_the_base_model_are_asked_of_those_who_share_them() -> None:
    asked = []

    def shared(split: str, make):  # type: ignore[no-untyped-def]
        asked.append(split)
        return make()

    found = sample(UNLEARNED, ORIGINAL, LABELS, **SPLITS)
    found._shared = shared
    measure("accuracy_drop", found)
    measure("healed", found)
    assert asked == ["test"]


@pytest.mark.parametrize("split", ["forget", "retain", "test"])
def test_the_loss_is_the_mean_of_minus_log_the_label_s_probability(split: str) -> None:
    """Three classes, logits of 5 and twice 0: one sample of four is at another class."""
    found = evidence([0, 1, 2, 1], [0] * 4, [0, 1, 2, 2])
    total = np.exp(5) + 2
    by_hand = (-3 * np.log(np.exp(5) / total) - np.log(1 / total)) / 4
    assert measure("loss", found, split=split) == {f"{split}_loss": pytest.approx(by_hand)}


def test_the_attacker_s_splits_follow_a_seed_of_their_own() -> None:
    draw = np.random.default_rng(0)
    sides = draw.normal(0, 1, 40), draw.normal(0.7, 1, 40)
    kit, study = (attack(*sides, MembershipInference(random_state=s)) for s in (0, 42))
    assert kit == attack(*sides, MembershipInference())
    assert kit != study
