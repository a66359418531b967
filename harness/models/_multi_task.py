"""The module of ``multi_task``. Imported inside the function that builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.errors import HarnessError

Outputs = tuple[torch.Tensor, dict[str, torch.Tensor]]


class MultiTask(nn.Module):
    """A classifier whose last maps also go into a head for each other task.

    Called, it is the classifier. ``weights`` are those of the class and of each of ``tasks``;
    a task of weight 0 is not trained. ``spread`` is learned, where weights are uncertain.
    """

    def __init__(
        self, trunk: nn.Module, example: torch.Tensor, tasks: tuple[str, ...], side: int,
        width: int, weights: Mapping[str, float], uncertain: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.tasks, self.side, self.weights = tasks, side, weights
        self.trained = tuple(task for task, weight in weights.items() if weight)
        self._place, channels, places = last_map(trunk, example)
        # The trunk comes last: its last linear layer, the class's, is then that of the whole.
        self.heads = nn.ModuleDict(
            {
                task: nn.Sequential(
                    nn.Conv2d(channels, width, 1),
                    nn.ReLU(),
                    nn.Flatten(),
                    nn.Linear(width * places, side * side),
                    nn.Unflatten(1, (1, side, side)),
                )
                for task in tasks
            }
        )
        self.spread = nn.Parameter(torch.ones(len(self.trained))) if uncertain else None
        self.trunk = trunk

    def forward(self, x: Any) -> torch.Tensor:
        found: torch.Tensor = self.trunk(x)
        return found

    def outputs(self, x: torch.Tensor) -> Outputs:
        """Logits [B, classes], and the map [B, 1, side, side] of each other task."""
        seen: list[torch.Tensor] = []
        layer = self.trunk.get_submodule(self._place)
        with layer.register_forward_hook(lambda _, inputs, output: seen.append(output)):
            logits = self.trunk(x)
        return logits, {task: head(seen[-1]) for task, head in self.heads.items()}

    def target(self, maps: torch.Tensor) -> torch.Tensor:
        """Targets [B, 1, H, W] as the heads have them: means over the parts of each image."""
        return F.adaptive_avg_pool2d(maps, self.side)

    def task_losses(self, batch: Any, loss: Callable[..., torch.Tensor]) -> dict[str, torch.Tensor]:
        """The ``loss`` of the class, and the mean absolute error of each other task."""
        logits, maps = self.outputs(batch.x)
        errors = {t: F.l1_loss(m.float(), self.target(batch.maps[t])) for t, m in maps.items()}
        return {"class": loss(logits, batch), **errors}

    def joint_loss(self, batch: Any, loss: Callable[..., torch.Tensor]) -> torch.Tensor:
        """The sum over trained tasks of weight * loss, or of weight * (loss / (2 s^2) +
        log(1 + s^2)) with a learned spread s of each."""
        found = self.task_losses(batch, loss)
        if self.spread is None:
            parts = [self.weights[task] * found[task] for task in self.trained]
        else:
            parts = [
                self.weights[task] * (found[task] / (2 * s**2) + torch.log1p(s**2))
                for task, s in zip(self.trained, self.spread, strict=True)
            ]
        return torch.stack(parts).sum()


def last_map(trunk: nn.Module, example: torch.Tensor) -> tuple[str, int, int]:
    """The part of ``trunk`` that is the last to give maps [B, C, H, W] of more than one place: its
    name, C and H * W.

    Raises:
        HarnessError: there is none.
    """
    seen: list[tuple[str, int, int]] = []

    def note(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            if torch.is_tensor(output) and output.ndim == 4 and min(output.shape[2:]) > 1:
                seen.append((name, output.shape[1], output[0, 0].numel()))

        return hook

    hooks = [layer.register_forward_hook(note(name)) for name, layer in trunk.named_modules()]
    with torch.no_grad():
        trunk.eval()(example)
    trunk.train()
    for registered in hooks:
        registered.remove()
    if not seen:
        raise HarnessError(
            f"multi_task needs a trunk of convolutions: no part of {type(trunk).__name__} gives "
            "maps that a head could read"
        )
    return seen[-1]
