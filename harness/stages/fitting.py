"""What stages that train or measure a model share: threads, evaluation, weights."""

from __future__ import annotations

from collections.abc import Callable

from harness.lazy import nn, torch
from harness.plan.cost import threads_of
from harness.plan.stage import Cell
from harness.stages.material import Material


def use_threads(cell: Cell) -> None:
    """The fixed rule: intra-op threads from the FLOPs of one training step."""
    torch.set_num_threads(threads_of(cell))


def evaluation(cell: Cell, material: Material) -> Callable[[nn.Module], float] | None:
    """Accuracy on the split that the recipe's checkpoint rule looks at."""
    match cell.train.checkpoint:
        case "best_validation":
            pool = material.clean(material.dataset.train, material.validation_rows)
        case "best_test":
            pool = material.clean(material.dataset.test)
        case _:
            return None

    def accuracy(model: nn.Module) -> float:
        with torch.inference_mode():
            right = [(model(b.x).argmax(1) == b.y).sum() for b in pool.ordered(512)]
        return int(torch.stack(right).sum()) / len(pool)

    return accuracy


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer of ``model``, as an artifact keeps them."""
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
