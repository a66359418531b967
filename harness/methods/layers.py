"""The layers and weights that methods of the challenge change, and how a layer begins anew."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from harness.components import Facts, Misfit
from harness.errors import HarnessError
from harness.lazy import nn, torch


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """Convolutions and linear layers by name, in the order of the model."""
    kinds = nn.Conv2d | nn.Linear
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    """The two-dimensional convolutions of ``model``, those of shortcuts included, in order.

    Raises:
        HarnessError: there is none.
    """
    found = [layer for layer in layers_of(model).values() if isinstance(layer, nn.Conv2d)]
    if not found:
        raise HarnessError("this method changes convolutions, and the model has none")
    return found


def needs_convolutions(settings: Any, facts: Facts) -> Iterator[Misfit]:
    """Data whose models have no two-dimensional convolution (trait ``check``)."""
    if (found := facts.encoding.name) != "images":
        yield Misfit("", f"it changes convolutions over images; the data set has {found}")


def head_of(model: nn.Module) -> str:
    """The name of the last linear layer, ``fc`` of a ResNet.

    Raises:
        HarnessError: there is none.
    """
    linear = [name for name, layer in layers_of(model).items() if isinstance(layer, nn.Linear)]
    if not linear:
        raise HarnessError("the model has no linear layer that could begin anew")
    return linear[-1]


def reset(layer: nn.Module, draws: torch.Generator, only: str | None = None) -> None:
    """Give ``layer`` new weights by torch's rule for its kind (``reset_parameters``), drawn on the
    CPU whatever its device is; or ``only`` one tensor of it."""
    anew = copy.deepcopy(layer).cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=draws)))
        anew.reset_parameters()  # type: ignore[operator]
    found = anew.state_dict()
    layer.load_state_dict(found if only is None else {only: found[only]}, strict=only is None)


def smallest(scores: Sequence[torch.Tensor], count: int) -> list[torch.Tensor]:
    """Masks, shaped like ``scores``, of the ``count`` smallest numbers of all, ties in order."""
    order = torch.cat([score.flatten() for score in scores]).argsort(stable=True)
    chosen = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    chosen[order[:count]] = True
    parts = chosen.split([score.numel() for score in scores])
    return [part.view(score.shape) for part, score in zip(parts, scores, strict=True)]
