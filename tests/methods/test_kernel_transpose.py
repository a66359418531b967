"""``kernel_transpose`` and ``mixture`` against properties and versions that are written out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from methods.convolutional import FROZEN, build, by_hand, cosine, same, task_of
from methods.problem import run
from torch import nn

from harness.errors import HarnessError
from harness.methods.task import Task


def without_training(task: Task) -> Task:
    task.fit = lambda *_, **__: None  # type: ignore[assignment, method-assign, return-value]
    return task


@settings(max_examples=8)
@given(
    size=st.sampled_from([1, 2, 3, 5]),
    channels=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    seed=st.integers(0, 99),
)
def test_a_transposed_kernel_sees_in_an_image_what_it_saw_in_the_transposed_one(
    size: int, channels: int, stride: int, padding: int, seed: int
) -> None:
    draws = torch.Generator().manual_seed(seed)
    layer = nn.Conv2d(channels, 2, size, stride, padding)
    layer.weight.data = torch.randn(layer.weight.shape, generator=draws)
    image = torch.randn(2, channels, 9, 7, generator=draws)
    before = layer(image)
    run("kernel_transpose", without_training(task_of()), nn.Sequential(layer))
    torch.testing.assert_close(layer(image.transpose(2, 3)), before.transpose(2, 3))


def test_every_kernel_is_transposed_and_nothing_else() -> None:
    base = build("base")
    found = run("kernel_transpose", task_of(), build("base"), lr=FROZEN, weight_decay=0)
    for (name, a), b in zip(found.named_parameters(), base.parameters(), strict=True):
        assert torch.equal(a, b.mT if b.ndim == 4 else b), name
    assert not torch.equal(found[0].weight, base[0].weight)


def test_the_training_is_sgd_as_written_out() -> None:
    task, base = task_of(), build("base")
    for layer in (base[0], base[4]):
        layer.weight = nn.Parameter(layer.weight.detach().mT)
    expected = by_hand(base, task.retain, cosine(0.1, 3), steps=15)
    found = run("kernel_transpose", task, build("base"), lr=0.1, batch_size=16)
    same(found, expected, atol=1e-5)


def test_kernels_that_are_not_square_are_refused() -> None:
    with pytest.raises(HarnessError, match="square kernels.*found 3x1"):
        run("kernel_transpose", task_of(), nn.Sequential(nn.Conv2d(1, 1, (3, 1))))


def test_246_of_512_runs_transpose_and_each_always_goes_the_same_way() -> None:
    task, model = without_training(task_of()), build("base", (2,)).eval()
    task._build = lambda seed: model
    task._pools = {**task._pools, "forget": task.forget.subset(torch.arange(1))}

    def way(seed: int, **more: object) -> bool:
        task.seed = f"stage {seed}"
        run("mixture", task, model, **more)
        return bool(task.facts["transposed"])

    drawn = [way(seed) for seed in range(120)]
    # Three standard errors of 120 draws.
    assert sum(drawn) / 120 == pytest.approx(246 / 512, abs=3 * 0.0456)
    assert [way(seed) for seed in range(5)] == drawn[:5]
    assert all(way(seed, transpose_share=1) for seed in range(10))
    assert not any(way(seed, transpose_share=0) for seed in range(10))


def test_a_run_that_transposes_is_kernel_transpose() -> None:
    found = run("mixture", task_of(), build("base"), transpose_share=1)
    alone = run("kernel_transpose", task_of(), build("base"))
    for a, b in zip(found.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("confidence", [0.0, 0.12, 1.0])
def test_the_other_way_learns_what_two_models_mistake_samples_for(confidence: float) -> None:
    task, base = task_of(), build("base")
    forget = task.forget
    [batch] = forget.ordered()
    # The base model knows some samples, so that only the new model mistakes them.
    drifted = by_hand(base, task.retain, cosine(0.05, 3), steps=15)
    known = torch.where(batch.row % 2 == 0, drifted(batch.x).argmax(1), batch.y)
    task._pools = {**task._pools, "forget": forget.with_targets(known)}
    scratch = by_hand(task.fresh("model of mistakes"), task.retain, lambda _: 0.02, steps=10, fit=2)
    labels, chosen = known.clone(), []
    for i, truth in enumerate(known.tolist()):
        first, second = (m(batch.x)[i].softmax(0) for m in (drifted, scratch))
        if first.argmax() != truth:
            labels[i] = first.argmax()
        elif second.argmax() != truth and second.max() >= confidence:
            labels[i] = second.argmax()
        if labels[i] != truth:
            chosen.append(i)
    wrong = task.forget.with_targets(labels).subset(torch.tensor(chosen))
    steps = 3 * -(-len(chosen) // 16)
    expected = by_hand(base, wrong, cosine(0.05, 3), steps=steps, fit=3)
    found = run("mixture", task, build("base"), transpose_share=0, lr=0.05, batch_size=16,
                scratch_epochs=2, scratch_lr=0.02, confidence=confidence)  # fmt: skip
    same(found, expected, atol=1e-4)
    counts.append(len(chosen))
    assert task.facts == {"transposed": 0, "pseudo_labelled": len(chosen)}
    assert counts == sorted(counts, reverse=True)


counts: list[int] = []


def test_without_mistakes_the_model_stays_as_it_is() -> None:
    task = without_training(task_of())
    model = build("base").eval()
    [batch] = task.forget.ordered()
    right = task.forget.with_targets(model(batch.x).argmax(1))
    task._pools = {**task._pools, "forget": right}
    same(run("mixture", task, build("base").eval(), transpose_share=0, confidence=1), model)
    assert task.facts == {"transposed": 0, "pseudo_labelled": 0}
