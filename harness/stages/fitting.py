"""What stages that train or measure a model share: threads, evaluation, weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from harness.components import get, remembered
from harness.components.contracts import Encoding
from harness.errors import Diverged
from harness.lazy import nn, torch
from harness.plan.cost import threads_of
from harness.plan.kinds import Tensors
from harness.plan.stage import Cell, Stage
from harness.spec.blocks import Train, Use
from harness.spec.fit import architecture, facts_of
from harness.stages.material import Material
from harness.training.precision import arithmetic, of_evaluation

SNAPSHOT = "@"  # in the names of tensors that are not the last weights: ``layer.weight@100``


def use_threads(cell: Cell) -> None:
    """The fixed rule: intra-op threads from the FLOPs of one training step."""
    torch.set_num_threads(threads_of(cell))


def learned_from(train: Train) -> Train:
    """What of a recipe decides the weights: how models are measured does not, unless that chooses
    a checkpoint."""
    plain = attrs.evolve(train, evaluate_precision="fp32")
    return plain if train.checkpoint == "last" else train


def measured_in(cell: Cell) -> tuple[str, ...]:
    """What a key says of the arithmetic that models are measured with, where it is not fp32."""
    precision = of_evaluation(cell.train)
    return () if precision == "fp32" else (f"measured in {precision}",)


def evaluation(cell: Cell, material: Material) -> Callable[[nn.Module], float] | None:
    """Accuracy on the split that the recipe's checkpoint rule looks at."""
    match cell.train.checkpoint:
        case "best_validation":
            pool = material.clean(*material.held_out)
        case "best_test":
            pool = material.clean(material.dataset.test)
        case _:
            return None

    def accuracy(model: nn.Module) -> float:
        device = pool.device.type
        with torch.inference_mode(), arithmetic(device, of_evaluation(cell.train)):
            right = [(model(b.x).argmax(1) == b.y).sum() for b in pool.ordered(512)]
        return int(torch.stack(right).sum()) / len(pool)

    return accuracy


@remembered(64)
def _expected(model: Use, encoding: Encoding, classes: int) -> Mapping[str, torch.Tensor]:
    """The tensors of a ``model`` of the right shape, without their numbers."""
    use = architecture(model)
    with torch.device("meta"):
        built = get("models", use.name).function(use.settings, encoding, classes)
    return dict(built.state_dict())


def weight_faults(stage: Stage, record: Mapping[str, Any], found: Tensors) -> Iterator[str]:
    """Why ``found`` are not the weights of a model of ``stage``, with the snapshots it keeps."""
    facts = facts_of(stage.cell.data)
    last = _expected(stage.cell.model, facts.encoding, facts.classes)
    kept = stage.detail.get("snapshots", ())
    expected = {f"{name}{SNAPSHOT}{step}": value for step in kept for name, value in last.items()}
    yield from differing({**last, **expected}, found)


def differing(expected: Tensors, found: Tensors) -> Iterator[str]:
    """What is missing in ``found``, too much, or of another shape or type than ``expected``."""
    yield from (f"{name!r} is missing" for name in expected if name not in found)
    yield from (f"nothing is known of {name!r}" for name in found if name not in expected)
    for name in (name for name in expected if name in found):
        kinds = [f"{t.dtype} {list(t.shape)}" for t in (found[name], expected[name])]
        if kinds[0] != kinds[1]:
            yield f"{name!r} is {kinds[0]}; {kinds[1]} is needed".replace("torch.", "")


def finite_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of ``model``. Raises Diverged where one of them is not finite."""
    found = weights(model)
    for name, value in found.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise Diverged(f"{name} is not finite; lower the learning rate")
    return found


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer of ``model``, as an artifact keeps them."""
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}


def measured_part(metrics: Mapping[str, float]) -> dict[str, Any]:
    """The ``metrics`` of a record, and apart from them those that are ``undefined``, as 0/0 is:
    JSON has no word for them, and a candidate without a number is no failure."""
    undefined = {name: str(float(v)) for name, v in metrics.items() if not math.isfinite(v)}
    finite = {name: value for name, value in metrics.items() if name not in undefined}
    return {"metrics": finite, **({"undefined": undefined} if undefined else {})}
