"""Sharpness against closed forms and plain loops."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import torch
from methods.problem import DIGITS, make_task, pool
from torch import nn

from harness.components import get
from harness.data.encodings import Features
from harness.data.pool import Batch, Pool
from harness.data.types import Split
from harness.errors import HarnessError, Interrupted
from harness.methods.task import Task
from harness.spec.structure import structure_use
from harness.training import sharpness as searching
from harness.training.sharpness import Searches, Sharpness, layers_of
from harness.training.watch import Meter, Unwatched

PREPARE = get("preparations", "sharpness").function
RHO = 0.05


class Along:
    """Answers with the weights of some models, as snapshots after 1, 2, ... steps."""

    def __init__(self, *models: nn.Module) -> None:
        self.kept = {i: copy.deepcopy(m.state_dict()) for i, m in enumerate(models, 1)}

    def snapshots(self, name: str) -> dict[int, Any]:
        return self.kept


def measured(task: Task, settings: Sharpness, samples: Pool, *models: nn.Module) -> dict[str, Any]:
    task.answers = Along(*models)  # type: ignore[assignment]
    return PREPARE(copy.deepcopy(models[-1]).eval(), task, settings, samples)  # type: ignore[no-any-return]


def cnn(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    use = structure_use("models", {"name": "small_cnn", "widths": [4, 6]})
    model: nn.Module = get("models", use.name).function(use.settings, DIGITS.encoding, 10)
    for batch in pool(torch.arange(96)).ordered(32):  # statistics that are no longer the first
        model.train()(batch.x)
    return model.eval()


def test_of_one_linear_layer_and_one_sample_it_is_the_closed_form() -> None:
    """The gradient of the cross-entropy of two classes never turns: V = r (x, -x) / (sqrt 2 |x|)."""
    model = nn.Linear(3, 2, bias=False)
    weight = torch.tensor([[1.0, 2.0, -1.0], [0.5, -1.0, 2.0]])
    model.weight.data.copy_(weight)
    x = torch.tensor([[0.3, 0.4, -1.2]])
    one = Pool(Split(x, torch.tensor([0])), torch.arange(1), encoding=Features((3,)))
    found = measured(make_task(), Sharpness(radius=RHO), one, model)
    z = float((weight[0] - weight[1]) @ x[0])
    reach = RHO * float(weight.norm()) * math.sqrt(2) * float(x.norm())
    before, up, down = (math.log1p(math.exp(-at)) for at in (z, z - reach, z + reach))
    assert float(found["loss"]) == pytest.approx(before, rel=1e-5)
    assert float(found["s_max"]) == pytest.approx(up - before, rel=1e-4)
    assert float(found["s_min"]) == pytest.approx(before - down, rel=1e-4)
    assert float(found["sal"]) == float(found["s_max"])
    assert found["passes"].tolist() == [[1 + 2 * 11, 2 * 10]]


def test_of_a_quadratic_loss_it_is_the_extreme_on_the_ball(monkeypatch: pytest.MonkeyPatch) -> None:
    """L(W) = 1/2 sum a W^2 - b W, whose extremes on a circle are found by going round it."""
    layer = nn.Linear(2, 1, bias=False)
    start, a, b = torch.tensor([1.0, -0.5]), torch.tensor([1.0, 3.0]), torch.tensor([0.2, 0.4])
    layer.weight.data.copy_(start[None])

    def loss(weights: torch.Tensor) -> torch.Tensor:
        return (a * weights.square() / 2 - b * weights).sum(-1)

    quadratic = SimpleNamespace(cross_entropy=lambda logits, y, reduction: loss(layer.weight[0]))
    monkeypatch.setattr(searching, "F", quadratic)
    layer.requires_grad_(False)
    searches = Searches(layer, Sharpness(radius=0.3, iterations=40), Meter())
    batch = Batch(torch.ones(1, 2), torch.zeros(1, dtype=torch.int64), torch.arange(1))
    angles = torch.linspace(0, 2 * math.pi, 20_001)
    circle = start + 0.3 * start.norm() * torch.stack([angles.cos(), angles.sin()], 1)
    rise = (loss(circle) - loss(start)).aminmax()
    up, down = (searches.climb(layer.weight, sign, [batch]) for sign in (1, -1))
    assert torch.equal(layer.weight[0], start)
    assert float(up.max() - up[0]) == pytest.approx(float(rise.max), rel=1e-3)
    assert float(down[0] - down.min()) == pytest.approx(float(-rise.min), rel=1e-3)


def test_layers_count_once_and_leave_out_bias_and_normalisation() -> None:
    shared = nn.Linear(4, 4)
    tied = nn.Linear(4, 4)
    tied.weight = shared.weight
    model = nn.Sequential(shared, nn.LayerNorm(4), shared, tied, nn.Conv1d(1, 2, 3))
    assert list(layers_of(model)) == ["0", "4"]
    found = measured(
        make_task(), Sharpness(iterations=1, samples=8), pool(torch.arange(96)), cnn(0)
    )
    assert bytes(found["layers"].tolist()).decode().split("\n") == ["0", "4", "9"]
    assert found["parameters"].tolist() == [4 * 9, 6 * 4 * 9, 60]
    with pytest.raises(HarnessError, match="no convolution or linear layer"):
        measured(make_task(), Sharpness(), pool(torch.arange(4)), nn.Flatten())


def plain_reading(model: nn.Module, samples: Pool, task: Task, settings: Sharpness) -> list[Any]:
    """What the official code does to each layer, with torch's own optimiser and no projection but
    at the end of a pass: (s_max, s_min) and the loss in train mode."""
    criterion = nn.CrossEntropyLoss()

    def mean(of: nn.Module, batches: list[Batch]) -> float:
        with torch.no_grad():
            every = [(criterion(of(b.x), b.y).item(), len(b.y)) for b in batches]
        return sum(value * count for value, count in every) / sum(count for _, count in every)

    def epoch(draws: torch.Generator) -> list[Batch]:
        return list(samples.epoch(task.recipe.batch_size, draws))

    before = mean(copy.deepcopy(model).train(), epoch(task.generator("sharpness 1 loss")))
    rows = []
    for name in layers_of(model):
        found = []
        for sign in (1, -1):
            changed = copy.deepcopy(model).requires_grad_(False)
            weight = layers_of(changed)[name].requires_grad_(True)
            start, optimiser = weight.detach().clone(), torch.optim.SGD([weight], lr=settings.lr)
            draws, most = task.generator("sharpness 1 search"), 0.0
            for _ in range(settings.iterations):
                for batch in epoch(draws):
                    optimiser.zero_grad()
                    (-sign * criterion(changed(batch.x), batch.y)).backward()
                    optimiser.step()
                share = (weight.detach() - start).norm() / start.norm()
                if share > settings.radius:
                    weight.data = start + (weight.detach() - start) * settings.radius / share
                rise = sign * (mean(changed, epoch(draws)) - before)
                most = rise if rise > most else most  # false for what is no number
            found.append(most)
        rows.append(found)
    return [rows, before]


def test_the_official_reading_is_that_of_a_plain_loop() -> None:
    settings = Sharpness(reading="official", iterations=3, samples=None, radius=0.02)
    task, model, samples = make_task(), cnn(1), pool(torch.arange(40))
    found = measured(task, settings, samples, model)
    rows, before = plain_reading(model, samples, task, settings)
    assert float(found["loss"]) == pytest.approx(before, rel=1e-5)
    both = torch.stack([found["s_max"][0], found["s_min"][0]], 1)
    assert torch.allclose(both, torch.tensor(rows), rtol=1e-3, atol=1e-6)
    assert torch.equal(found["sal"], torch.maximum(found["s_max"], found["s_min"]))
    evaluated = measured(task, Sharpness(iterations=1, samples=None), samples, model)["loss"]
    assert abs(float(evaluated) - before) > 1e-3  # train mode is something else


def test_a_loss_that_is_no_number_shows_in_the_definition_and_counts_as_nothing_officially() -> (
    None
):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    model[1].weight.data[0, 0] = math.nan
    task, samples = make_task(), pool(torch.arange(16))
    found = measured(task, Sharpness(iterations=2), samples, model)
    assert found["sal"].isnan().all()
    found = measured(task, Sharpness(iterations=2, reading="official"), samples, model)
    assert found["sal"].tolist() == [[0.0]]


class Kept:
    """A slot in memory."""

    saved: Any = None

    def load(self) -> Any:
        return copy.deepcopy(self.saved)

    def save(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        self.saved = copy.deepcopy((tensors, state))

    def due(self) -> bool:
        return False


class Stop(Unwatched):
    """Stops after so many searches."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left, self.seen = left, list[tuple[int, int]]()

    def step(self, done: int, total: int, loss: float | None) -> None:
        self.left -= 1
        self.seen.append((done, total))
        if not self.left:
            raise Interrupted("stopped")


def test_an_interrupted_measurement_goes_on_at_its_snapshot_with_the_same_result() -> None:
    settings, models = Sharpness(iterations=2, samples=16), (cnn(2), cnn(3), cnn(4))
    whole, samples = Stop(-1), pool(torch.arange(96))
    found = measured(make_task(watch=whole), settings, samples, *models)
    assert whole.seen == [(i, 18) for i in range(1, 19)]
    slot = Kept()
    with pytest.raises(Interrupted):
        measured(make_task(watch=Stop(10), slot=slot), settings, samples, *models)
    assert slot.saved[1]["done"] == 1
    rest = Stop(-1)
    again = measured(make_task(watch=rest, slot=slot), settings, samples, *models)
    assert len(rest.seen) == 12 and rest.meter.as_dict() == whole.meter.as_dict()
    assert found.keys() == again.keys()
    assert all(torch.equal(found[name], again[name]) for name in found)
    assert found["passes"].sum(0).tolist() == list(whole.meter.as_dict().values())[:2]
    assert len({tuple(row) for row in found["sal"].tolist()}) == 3  # each snapshot has its own


def test_of_another_task_it_is_its_own_error_and_the_other_heads_play_no_part() -> None:
    plain = {"name": "multi_task", "trunk": {"name": "small_cnn", "widths": [4, 6]}, "width": 4}
    use = structure_use("models", plain)
    torch.manual_seed(5)
    model = get("models", use.name).function(use.settings, DIGITS.encoding, 10).eval()
    samples = pool(torch.arange(24))
    [batch] = samples.with_maps(("edges",)).ordered(24)

    def error() -> Any:
        return (model.outputs(batch.x)[1]["edges"] - model.target(batch.maps["edges"])).abs().mean()

    before, rows = error().item(), {}
    for name, weight in layers_of(model).items():
        [slope] = torch.autograd.grad(error(), [weight], allow_unused=True)
        start, along = weight.detach().clone(), torch.zeros(1) if slope is None else slope
        reach = 0.02 * start.norm() * along / along.norm().clamp(min=1e-30)
        found = []
        for sign in (1, -1):  # one step of the radius
            weight.data = start + sign * reach
            found.append(max(sign * (error().item() - before), 0.0))
        weight.data = start
        rows[name] = found
    settings = Sharpness(task="edges", radius=0.02, iterations=1, step=1.0, samples=None)
    found = measured(make_task(), settings, samples, model)
    assert float(found["loss"]) == pytest.approx(before, rel=1e-5)
    both = torch.stack([found["s_max"][0], found["s_min"][0]], 1)
    assert torch.allclose(both, torch.tensor(list(rows.values())), rtol=1e-2, atol=1e-6)
    sharp = dict(zip(rows, (found["sal"][0] > 0).tolist(), strict=True))
    assert [name for name, value in sharp.items() if not value] == [list(rows)[-1]]
    of_class = measured(make_task(), Sharpness(iterations=1), samples, model)["sal"][0] > 0
    assert [n for n, value in zip(rows, of_class, strict=True) if not value] == [
        name for name in rows if name.startswith("heads")
    ]
    with pytest.raises(HarnessError, match="no task 'edges'"):
        measured(make_task(), settings, samples, cnn(0))


def test_of_an_adversarial_training_the_official_reading_has_the_gap_as_a_floor() -> None:
    """Trap: L(W) is the adversary's, all other losses are not, so that a ball of no size has it."""
    task, model, samples = make_task(), cnn(6), pool(torch.arange(40))
    adversary = structure_use("adversaries", {"name": "pgd", "steps": 1, "start": "image"})
    task.recipe = attrs.evolve(task.recipe, adversary=adversary)
    flat = Sharpness(radius=1e-7, iterations=1, samples=None, lr=1e-9)
    plain, criterion = copy.deepcopy(model).requires_grad_(False), nn.CrossEntropyLoss()
    losses = []
    for batch in samples.epoch(task.recipe.batch_size, task.generator("sharpness 1 loss")):
        x = samples.encoding.intensities(batch.x).requires_grad_(True)
        criterion(plain.eval()(samples.encoding.batch(x)), batch.y).backward()
        harder = (x.detach() + 2 * x.grad.sign()).clamp(0, 255)
        losses += [criterion(plain.train()(samples.encoding.batch(harder)), batch.y).item()] * len(
            batch.y
        )
    found = measured(task, attrs.evolve(flat, reading="official"), samples, model)
    assert float(found["loss"]) == pytest.approx(sum(losses) / 40, rel=1e-5)
    [whole] = samples.ordered(40)
    gap = float(found["loss"]) - criterion(model(whole.x), whole.y).item()
    assert gap > 0.02 and found["sal"].tolist()[0] == pytest.approx([gap] * 3, rel=1e-3)
    assert found["passes"].tolist() == [[40 * (2 + 6 * 2), 40 * (1 + 6)]]
    assert measured(task, flat, samples, model)["sal"].max() < 1e-4
