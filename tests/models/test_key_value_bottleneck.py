"""The bottleneck against a slow, obvious version, and its keys against a calculation by hand."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from harness.components import get
from harness.data.encodings import Features
from harness.data.pool import Pool
from harness.data.types import Split
from harness.errors import Interrupted
from harness.models import _nearest
from harness.models._bottleneck import EXCLUDED, ZERO, KeyValueBottleneck
from harness.models.key_value_bottleneck import Bottleneck
from harness.spec.blocks import Train
from harness.spec.fit import Facts
from harness.spec.structure import structure_use
from harness.training.loop import fit
from harness.training.watch import Unwatched


def pool_of(x: torch.Tensor, y: torch.Tensor | None = None) -> Pool:
    y = torch.zeros(len(x), dtype=torch.int64) if y is None else y
    return Pool(Split(x, y), torch.arange(len(x)), encoding=Features(x.shape[1]))


def draws(purpose: str = "") -> torch.Generator:
    return torch.Generator().manual_seed(len(purpose))


def built(size: int = 6, classes: int = 3, **changes: object) -> KeyValueBottleneck:
    plain = {"codebooks": 4, "pairs": 12, "key_size": 3, "key_epochs": 2, "key_batch_size": 16}
    torch.manual_seed(3)
    return KeyValueBottleneck(Bottleneck(**{**plain, **changes}), size, classes)


def obvious(model: KeyValueBottleneck, x: torch.Tensor) -> torch.Tensor:
    """The logits by loops over samples, codebooks and pairs."""
    own, values = model.settings, model.values.weight.view(len(model.keys), -1, 3)
    logits = torch.zeros(len(x), 3)
    for b, sample in enumerate(x):
        for c in range(own.codebooks):
            query = sample @ model.projections[:, c]
            live = [
                p
                for p in range(own.pairs)
                if model.masked[c, p] != EXCLUDED
                and (not model.placed or own.unused == "kept" or model.uses[c, p] > 0)
            ]
            live.sort(key=lambda p: float((query - model.keys[c, p]).square().sum()))
            for p in live[: own.top_k]:
                if model.masked[c, p] != ZERO:
                    logits[b] += values[c, p] / own.codebooks
    return logits


@settings(max_examples=12)
@given(
    codebooks=st.integers(1, 5),
    pairs=st.integers(2, 20),
    top_k=st.integers(1, 2),
    unused=st.sampled_from(["excluded", "kept"]),
    gradient=st.sampled_from(["dense", "sparse"]),
    masked=st.floats(0, 1),
)
def test_logits_and_gradients_are_those_of_the_obvious_version(
    codebooks: int, pairs: int, top_k: int, unused: str, gradient: str, masked: float
) -> None:
    model = built(codebooks=codebooks, pairs=pairs, top_k=top_k, unused=unused, gradient=gradient)
    x, y = torch.randn(16, 6), torch.randint(0, 3, (16,))
    model.see_inputs(pool_of(x[:12]), draws(), Unwatched())
    model.keys += 1e-3 * torch.randn_like(model.keys)  # no two are the same
    model.values.weight.data.normal_()
    model.masked[torch.rand(codebooks, pairs) < masked] = EXCLUDED
    model.masked[torch.rand(codebooks, pairs) < 0.1] = ZERO
    for _ in range(2):  # the second time from memory
        expected, found = obvious(model, x), model(x)
        assert torch.allclose(found, expected, atol=1e-5)
    gradients = []
    for logits in (expected, found) if expected.requires_grad else ():
        model.zero_grad()
        functional.cross_entropy(logits, y).backward()
        held = model.values.weight.grad
        gradients.append(held.to_dense() if held.is_sparse else held.clone())
    assert not gradients or torch.allclose(*gradients, atol=1e-6)


def test_keys_by_hand() -> None:
    """Two codebooks of two pairs, one entry a key, a batch of two samples, two batches."""
    model = built(
        size=1, codebooks=2, pairs=2, key_size=1, key_epochs=2, key_batch_size=2, key_decay=0.5,
        key_smoothing=1.0, dead_share=0.0,
    )  # fmt: skip
    model.projections.copy_(torch.tensor([[[1.0], [-1.0]]]))
    model.keys.copy_(torch.tensor([[[0.0], [5.0]], [[-1.0], [-9.0]]]))
    model.see_inputs(pool_of(torch.tensor([[1.0], [4.0]])), draws(), Unwatched())
    keys, n, s = [[0.0, 5.0], [-1.0, -9.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 5.0], [-1.0, -9.0]]
    for _ in range(2):
        for c, sign in enumerate((1, -1)):
            near = [min((0, 1), key=lambda p, q=q: abs(q - keys[c][p])) for q in (sign, 4 * sign)]
            for p in (0, 1):
                mine = [q for q, at in zip((sign, 4 * sign), near, strict=True) if at == p]
                n[c][p] = 0.5 * n[c][p] + 0.5 * len(mine)
                s[c][p] = 0.5 * s[c][p] + 0.5 * sum(mine)
            whole = sum(n[c])
            keys[c] = [s[c][p] / ((n[c][p] + 1) / (whole + 2) * whole) for p in (0, 1)]
    assert torch.allclose(model.keys[..., 0], torch.tensor(keys))
    assert model.uses.sum(1).tolist() == [2, 2]
    assert model.placed


def test_a_key_that_nothing_selects_moves_to_a_sample_of_the_batch() -> None:
    model = built(size=1, codebooks=1, pairs=8, key_size=1, key_epochs=1, key_batch_size=4)
    model.projections.fill_(1)
    model.keys.copy_(torch.tensor([[[0.0]] + [[1e4]] * 7]).view(1, 8, 1))
    x = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    model.see_inputs(pool_of(x), draws(), Unwatched())
    moved = model.keys[0, 1:, 0].tolist()
    assert set(moved) <= {1.0, 2.0, 3.0, 4.0} and len(set(moved)) > 1


def recipe(**changes: object) -> Train:
    sgd = structure_use("optimizers", {"name": "sgd", "lr": 5.0, "momentum": 0, "weight_decay": 0})
    return attrs.evolve(Train(epochs=3, batch_size=8, optimizer=sgd), **changes)


@pytest.mark.parametrize("clip", [None, 0.01])
def test_training_with_sparse_gradients_gives_the_same_values(clip: float | None) -> None:
    x, y = torch.randn(40, 6), torch.randint(0, 3, (40,))
    found = []
    for gradient in ("dense", "sparse"):
        model = built(gradient=gradient)
        fit(model, pool_of(x, y), recipe(clip_norm=clip), generator=draws)
        found.append(model.values.weight.detach())
    assert found[0].abs().sum() > 0
    assert torch.allclose(*found, atol=1e-6)


def test_keys_are_placed_once_and_their_passes_count() -> None:
    model, watch = built(), Unwatched()
    fit(model, pool_of(torch.randn(40, 6)), recipe(), generator=draws, watch=watch)
    assert watch.meter.forward_samples == 40 * (2 + 1 + 3)  # two for the keys, one that counts
    assert watch.meter.backward_samples == 40 * 3
    keys, uses = model.keys.clone(), model.uses.clone()
    fit(model, pool_of(torch.randn(20, 6)), recipe(), generator=draws)
    assert torch.equal(model.keys, keys) and torch.equal(model.uses, uses)


class Kept:
    """A slot that keeps the last state."""

    saved: Any = None

    def load(self) -> Any:
        return self.saved

    def save(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        self.saved = {name: value.clone() for name, value in tensors.items()}, deepcopy(state)

    def due(self) -> bool:
        return True


class StopsAfter(Unwatched):
    """Stops when so many samples went forward."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples

    def step(self, done: int, total: int, loss: float | None) -> None:
        if self.meter.forward_samples >= self.samples:
            raise Interrupted("stopped")


@pytest.mark.parametrize("passes", [3, 5], ids=["when the keys are placed", "when it trains"])
def test_an_interrupted_training_does_not_place_its_keys_again(passes: int) -> None:
    pool, slot = pool_of(torch.randn(40, 6)), Kept()
    alone, beside = built(), built()
    fit(alone, pool, recipe(), generator=draws)
    with pytest.raises(Interrupted):
        fit(beside, pool, recipe(), generator=draws, watch=StopsAfter(40 * passes), slot=slot)
    again, watch = built(), Unwatched()
    again.see_inputs = lambda *given: pytest.fail("the inputs are seen again")  # type: ignore[method-assign]
    fit(again, pool, recipe(), generator=draws, watch=watch, slot=slot)
    assert watch.meter.forward_samples == 40 * (2 + 1 + 3)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_what_is_remembered_is_bounded_and_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = built(), torch.randn(600, 6)
    fresh = model.selected(x)
    monkeypatch.setattr(_nearest, "BYTES", 100)
    _nearest._known.clear()
    assert torch.equal(model.selected(x), fresh)
    assert not any(known.places for known in _nearest._known.values())
    monkeypatch.undo()
    assert torch.equal(model.selected(x[::7]), fresh[::7])
    model.keys.add_(1)
    assert not torch.equal(model.selected(x), fresh)


@settings(max_examples=25)
@given(
    st.integers(0, 2**31),
    st.sampled_from([5, 4095, 4096]),
    st.sampled_from([1, 4, 24, 127]),
    st.sampled_from([4, 1000]),
)
def test_the_largest_entries_of_a_row_are_those_of_a_stable_sort(
    seed: int, width: int, count: int, values: int
) -> None:
    scores = torch.randint(values, (3, width), generator=torch.Generator().manual_seed(seed))
    scores = scores.float() - values / 2
    count = min(count, width)
    expected = scores.sort(descending=True, stable=True).indices[:, :count]
    assert torch.equal(_nearest.largest(scores, count), expected)


def test_a_mask_or_keys_that_change_between_two_passes_are_seen() -> None:
    model, x = built(pairs=60, unused="kept"), torch.randn(16, 6)
    torch.nn.init.normal_(model.values.weight)
    for change in ("mask", "mask", "keys", "nothing"):
        if change == "mask":
            model.masked.copy_(torch.rand(model.masked.shape) < 0.95)
        elif change == "keys":
            model.keys += torch.randn_like(model.keys)
        order = model._order(x).long()
        open_ = model.masked[torch.arange(4)[:, None], order] != EXCLUDED
        assert (~open_).all(2).any()  # some are looked for among all that are left
        assert torch.allclose(model(x), obvious(model, x), atol=1e-6), change


def test_published_defaults() -> None:
    own = Bottleneck()
    assert (own.codebooks, own.pairs, own.key_size, own.top_k) == (256, 4096, 14, 1)
    assert (own.key_epochs, own.key_batch_size, own.key_decay) == (10, 256, 0.95)
    assert own.dead_share * own.key_batch_size / own.pairs == 0.00625
    assert own.key_smoothing == 1e-5
    lengths = built().projections.norm(dim=0)
    assert torch.allclose(lengths, torch.ones_like(lengths))


def test_more_pairs_than_there_are_is_refused() -> None:
    check = get("models", "key_value_bottleneck").traits.check
    facts = Facts(Features(6), 3, train=10, test=10)
    (misfit,) = check(Bottleneck(pairs=4, top_k=5), facts)
    assert misfit.setting == "top_k"
