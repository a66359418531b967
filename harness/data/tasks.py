"""Other tasks than the class: each has a map of one channel for every image as its target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.data.types import Split
from harness.errors import HarnessError, nearest
from harness.lazy import F, torch

CLASS = "class"
EDGES = "edges"  # of any images; other maps are those of a data set


def edges(images: torch.Tensor) -> torch.Tensor:
    """How strong the edges of images are: a straight step from black to white has 1 on both sides.

    Intensities in [0, 255], [B, C, H, W], to float32 [B, 1, H, W]: a quarter of the length of the
    Sobel gradient of the mean of the channels, whose border is repeated.
    """
    grey = F.pad(images.float().mean(1, keepdim=True) / 255, (1, 1, 1, 1), mode="replicate")
    rise = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=images.device)
    both = F.conv2d(grey, torch.stack([rise, rise.T])[:, None])
    return both.square().sum(1, keepdim=True).sqrt() / 4


def check_tasks(tasks: Sequence[str], maps: Sequence[str]) -> None:
    """Raises HarnessError for one of ``tasks`` that a data set with ``maps`` does not have."""
    known = [EDGES, *maps]
    for task in tasks:
        if task not in known:
            there = ", ".join(known)
            raise HarnessError(f"the data have no task {task!r}{nearest(task, known)} (of {there})")


def stored_maps(split: Split, tasks: Sequence[str]) -> Mapping[str, torch.Tensor]:
    """What the targets of ``tasks`` are made from: a map [N, 1, H, W], or for edges the images.

    Raises:
        HarnessError: the split has no such map.
    """
    check_tasks(tasks, list(split.maps))
    return {task: split.inputs if task == EDGES else split.maps[task] for task in tasks}


def target_of(task: str, stored: torch.Tensor) -> torch.Tensor:
    """The targets of a batch of ``stored_maps``, augmented or not, float32 [B, 1, H, W]."""
    return edges(stored) if task == EDGES else stored.float()
