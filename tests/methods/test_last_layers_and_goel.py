"""EU-k, CF-k, Goel's SCRUB and Potion's bad teacher."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import torch
from methods.problem import RECIPE, build, make_task, pool, run
from torch import nn

from conftest import TINY, Cli
from harness.components import get
from harness.data.datasets.images import CIFAR
from harness.data.encodings import Images
from harness.errors import HarnessError
from harness.methods.last_layers import split_last
from harness.methods.teachers import _Alternating, divergence, pass_ends
from harness.spec.structure import structure_use
from harness.training.length import length_of


def model_of(name: str, encoding: Images = CIFAR, **settings: object) -> nn.Module:
    use = structure_use("models", {"name": name, **settings})
    model: nn.Module = get("models", name).function(use.settings, encoding, 10)
    return model


def first_weight(parts: list[nn.Module]) -> torch.Tensor:
    return next(p for part in parts for p in part.parameters() if p.ndim > 1)


@pytest.mark.parametrize(
    ("name", "k", "begins"),
    [
        # Protocol section 5: ResNet-9 before unit 6, before the second residual;
        ("resnet9", 2, "6.0.weight"),
        ("resnet9", 4, "5.body.0.0.weight"),
        # WRN: the last two blocks of stage 3 and the head; the last two of stage 2, stage 3, head.
        ("wide_resnet", 5, "11.body.2.weight"),
        ("wide_resnet", 13, "7.body.2.weight"),
    ],
)
def test_the_published_k_cut_where_the_published_code_cuts(name: str, k: int, begins: str) -> None:
    model = model_of(name, **({"widen": 1} if name == "wide_resnet" else {"width": 4}))
    _, last = split_last(model, k)
    assert first_weight(last) is dict(model.named_parameters())[begins]


def test_a_cut_through_a_residual_block_names_those_that_are_possible() -> None:
    with pytest.raises(HarnessError, match=r"last 3 layers cannot.*possible here: 1, 2, 4, 5, 7"):
        split_last(model_of("resnet9", width=4), 3)


@pytest.mark.parametrize(
    ("variants", "k", "possible"),
    [
        ("", 3, None),
        ("", 4, "1, 2, 3"),
        ("variants: {net: {two: {}, one: {model.widths: [8]}}}\n", 3, "1, 2"),
        ("", "{sweep: [1, 4]}, select: {maximize: clean_accuracy}", "1, 2, 3"),
    ],
)
def test_layers_that_the_network_of_a_spec_cannot_be_cut_at_are_refused_at_their_place(
    cli: Cli, tiny: Path, variants: str, k: object, possible: str | None
) -> None:
    own = f"methods:\n  - {{name: finetune_last_k, label: cf, k: {k}}}\n"
    tiny.write_text(TINY.replace("methods:\n", own) + variants)
    done = cli("validate", tiny)
    assert done.returncode == (0 if possible is None else 2)
    found = re.findall(r"tiny.yaml:14:.*methods\[0\]\.k: (.*)", done.stderr)
    assert len(found) == (0 if possible is None else 1), done.stderr
    assert possible is None or f"possible here: {possible}" in found[0]


def test_shortcuts_are_not_counted_as_layers() -> None:
    # torchvision's ResNet-18 has 18 layers and three shortcuts with convolutions.
    split_last(model_of("torchvision", arch="resnet18"), 18)


def convolutional(seed: str = "base") -> nn.Module:
    from harness.training.seeding import seeded_build

    return seeded_build(
        lambda: model_of("small_cnn", Images((1, 8, 8), (0.5,), (0.5,)), widths=[4, 6]), seed
    )


@pytest.mark.parametrize("name", ["retrain_last_k", "finetune_last_k"])
def test_the_front_stays_as_it_was_with_its_batchnorm_statistics(name: str) -> None:
    task = make_task()
    task._build = convolutional
    base = convolutional()
    front, last = split_last(copy.deepcopy(base), 1)
    found = run(name, task, copy.deepcopy(base), k=1, steps=4, lr=0.1)
    kept, trained = split_last(found, 1)
    for a, b in zip(front, kept, strict=True):
        for (where, old), new in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
            assert torch.equal(old, new), where
    assert not torch.equal(first_weight(last), first_weight(trained))
    assert all(p.requires_grad for p in found.parameters())
    assert all(m.training for m in found.train().modules())


def test_eu_k_begins_the_last_layers_anew_and_cf_k_does_not() -> None:
    def after_nearly_nothing(name: str) -> torch.Tensor:
        found = run(name, make_task(), build("base"), k=1, steps=1, lr=1e-12)
        return first_weight(split_last(found, 1)[1]).detach()

    base = first_weight(split_last(build("base"), 1)[1])
    fresh = first_weight(split_last(make_task().fresh("model"), 1)[1])
    torch.testing.assert_close(after_nearly_nothing("finetune_last_k"), base)
    torch.testing.assert_close(after_nearly_nothing("retrain_last_k"), fresh)


class _Counted:
    """A pool that yields numbered batches of nothing."""

    device, targets = torch.device("cpu"), torch.empty(0)

    def __init__(self, samples: int, forgotten: bool) -> None:
        self.samples, self.forgotten = samples, forgotten

    def __len__(self) -> int:
        return self.samples

    def epoch(self, size: int, draws: object) -> Iterator[bool]:
        for _ in range(-(-self.samples // size)):
            yield self.forgotten


@pytest.mark.parametrize(("discovered", "ascents"), [(1, 2), (512, 2), (513, 4), (1000, 4)])
def test_goel_scrub_ascends_as_often_as_was_counted_for_the_published_code(
    discovered: int, ascents: int
) -> None:
    # Protocol section 5: 100 "msteps" of passes over 50,000 samples are 2 or 4 ascent steps.
    both: object = _Alternating(
        _Counted(50_000 - discovered, False),
        _Counted(discovered, True),
        100,  # type: ignore[arg-type]
    )
    steps: list[bool] = []
    while len(steps) < 1000:
        steps += both.epoch(512, torch.Generator())  # type: ignore[attr-defined]
    assert sum(steps[:1000]) == ascents


def test_goel_scrub_is_evaluated_where_the_published_code_evaluates() -> None:
    # One batch of up to 512 discovered samples, 98 of the rest: 1, 99, 100, then every 98 steps.
    ends = pass_ends(1, 98, 100, 1000)
    assert sorted(ends)[:5] == [1, 99, 100, 198, 296]
    assert sorted(step for step in ends if step <= 1000)[-1] == 982
    recipe = attrs.evolve(RECIPE, steps=1000, batch_size=512, extra_step=True)
    assert length_of(recipe, 49_900, ends).total == 1001
    # Two batches of up to 1,000, 97 of the rest: the second pass over them begins at step 99.
    assert sorted(pass_ends(2, 97, 100, 1000))[:5] == [2, 99, 101, 198, 295]


def test_goel_scrub_keeps_the_best_weights_after_an_ascent_too() -> None:
    def evaluated(**settings: object) -> list[int]:
        task, seen = make_task(), []

        def evaluate(model: nn.Module) -> float:
            seen.append(task.watch.meter.steps + 1)
            return -float(len(seen))  # the first is the best

        task._evaluate = evaluate
        task.recipe = attrs.evolve(RECIPE, checkpoint="best_test", extra_step=True)
        found = run("scrub_goel", task, steps=8, ascent_steps=3, **settings)
        kept.append(torch.cat([p.flatten() for p in found.parameters()]))
        return seen

    # 24 forgotten and 72 other samples in batches of 16: passes of 2 and 5 steps.
    kept: list[torch.Tensor] = []
    assert evaluated() == [5, 9]
    assert evaluated(evaluate_after="pass") == [2, 7, 9]
    assert not torch.equal(*kept)


def test_scrub_lowers_its_rate_after_the_epochs_that_are_named() -> None:
    def moved(epochs: int, **settings: object) -> torch.Tensor:
        plain = structure_use("optimizers", {"name": "sgd", "momentum": 0, "weight_decay": 0})
        task = make_task()
        task.recipe = attrs.evolve(RECIPE, batch_size=72, optimizer=plain)
        found = run("scrub", task, epochs=epochs, max_epochs=0, lr=0.1, **settings)
        return torch.cat([p.detach().flatten() for p in found.parameters()])

    # One step an epoch: the third is a tenth as long, the fourth a hundredth.
    two, three, four = (moved(n, decay_after=[2, 3]) for n in (2, 3, 4))
    torch.testing.assert_close(three - two, (moved(3) - two) / 10, rtol=1e-3, atol=1e-6)
    undecayed = moved(4, decay_after=[2, 30])
    torch.testing.assert_close(four - three, (undecayed - three) / 10, rtol=1e-2, atol=1e-6)


def test_goel_scrub_goes_up_on_the_forget_set_and_down_on_the_retain_set() -> None:
    # One pass of one step each, with plain gradients: worked out with the equations.
    base = build("base")
    forget, retain = pool(torch.arange(24)), pool(torch.arange(24, 96))
    task = make_task()
    task._pools = {"forget": forget, "retain": retain}
    found = run("scrub_goel", task, copy.deepcopy(base), steps=2, alpha=0.5, lr=0.1)

    assert RECIPE.batch_size == 16  # so that two steps are two batches of the forget set
    student = copy.deepcopy(base)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    batches = list(forget.epoch(16, make_task().generator("fit 1 batches")))
    for batch in batches:
        logits = student(batch.x)
        loss = nn.functional.cross_entropy(logits, batch.y)
        loss = loss + 0.5 * divergence(logits, base(batch.x).detach(), 4.0)
        optimizer.zero_grad()
        (-loss).backward()
        optimizer.step()
    assert len(batches) == 2
    for a, b in zip(found.parameters(), student.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_mean_over_elements_divides_bad_teaching_by_the_classes() -> None:
    by = {
        mean: run("bad_teacher", make_task(), build("base"), steps=1, lr=lr, mean_over=mean)
        for mean, lr in (("samples", 0.01), ("elements", 0.1))
    }
    for a, b in zip(by["samples"].parameters(), by["elements"].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
