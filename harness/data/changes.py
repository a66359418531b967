"""Inputs that differ from the stored ones whenever a batch is drawn, so that no split is copied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from attrs import frozen

from harness.data.encodings import TokenBatch
from harness.errors import HarnessError
from harness.lazy import torch

Function = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


@frozen(eq=False)
class Change:
    """The rows of a split that change, ``marked`` bool [N], and how.

    ``function(inputs, rows)`` gives the new inputs of ``rows`` int64 [b], all of them marked, from
    their ``inputs`` [b, *shape]: as stored, but images as float32 intensities in [0, 255]. Both
    are on the pool's device.
    """

    marked: torch.Tensor
    function: Function

    def on(self, device: torch.device) -> Change:
        """The same where batches are made."""
        return attrs.evolve(self, marked=self.marked.to(device))

    def applied(self, stored: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The samples ``stored`` [B, *shape] of ``rows`` with the change; uint8 becomes float32.

        Raises:
            HarnessError: the function gave another shape or type.
        """
        changed = stored.float() if stored.dtype == torch.uint8 else stored.clone()
        places = self.marked[rows].nonzero().squeeze(1)
        if len(places):
            before = changed[places]
            after = self.function(before, rows[places])
            if (after.shape, after.dtype) != (before.shape, before.dtype):
                raise HarnessError(
                    f"a rule gave inputs {after.dtype} {list(after.shape)} "
                    f"for {before.dtype} {list(before.shape)}"
                )
            changed[places] = after
        return changed

    def encoded(self, x: Any, rows: torch.Tensor) -> Any:
        """What the encoding gave of ``rows`` with the change.

        Of images and features the function is asked for all of ``x``, and what it gives for rows
        that are not marked is left aside. Of texts it gives the ``shift`` [b, L, d] of those that
        are marked, from their ids [b, L].
        """
        carries = self.marked[rows]
        if not isinstance(x, TokenBatch):
            carries = carries.view(-1, *[1] * (x.dim() - 1))
            return torch.where(carries, self.function(x, rows), x)
        places = carries.nonzero().squeeze(1)
        if not len(places):
            return x
        found = self.function(x.ids[places], rows[places])
        shift = found.new_zeros(len(rows), *found.shape[1:]).index_copy(0, places, found)
        return x._replace(shift=shift)


class Replacement:
    """The function of a ``Change`` that puts ``values`` [m, *shape] in place of ``rows`` [m].

    They move to the device of the first batch, once for all pools that share this object.
    """

    def __init__(self, rows: torch.Tensor, values: torch.Tensor, total: int) -> None:
        self.place = torch.zeros(total, dtype=torch.int64)
        self.place[rows] = torch.arange(len(rows))
        self.values = values

    def __call__(self, inputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The values of ``rows``."""
        if self.values.device != inputs.device:
            self.values = self.values.to(inputs.device)
            self.place = self.place.to(inputs.device)
        return self.values[self.place[rows]]


def marks(rows: torch.Tensor, total: int) -> torch.Tensor:
    """bool [total], true at ``rows``."""
    found = torch.zeros(total, dtype=torch.bool)
    found[rows] = True
    return found
