"""Which keys of each codebook are nearest, found once for each sample that a process has seen."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

import numpy as np
import torch

DEPTH = 24  # nearest keys that are remembered: what masking leaves is nearly always among them
BLOCK = 256  # samples of one search; always as many, so that a sample's result depends on it alone
KEPT = 2  # sets of keys that are remembered
BYTES = 2**30  # of what is remembered for one set
GROUPS = 128  # of the entries of a row, of which the largest are looked at first


def queries(x: torch.Tensor, projections: torch.Tensor) -> torch.Tensor:
    """[B, size] and [size, C, d] to [B, C, d]."""
    return (x @ projections.flatten(1)).view(len(x), *projections.shape[1:])


def offsets(keys: torch.Tensor) -> torch.Tensor:
    """-|k|^2 / 2 of keys [..., d]. A key is the nearer to a query, the larger <q, k> and this."""
    return keys.square().sum(-1) / -2


@torch.no_grad()
def nearest(found: torch.Tensor, keys: torch.Tensor, depth: int) -> torch.Tensor:
    """The ``depth`` keys [C, P, d] nearest to queries [B, C, d], nearest first: [B, C, depth].

    Returns int16 where that holds P, int32 otherwise.
    """
    books, pairs = keys.shape[:2]
    kind = torch.int16 if pairs < 2**15 else torch.int32
    order = torch.empty(len(found), books, depth, dtype=kind, device=found.device)
    scores = found.new_empty(len(found), pairs)  # memory that is fetched anew costs half a product
    halves = offsets(keys)
    for book in range(books):
        torch.addmm(halves[book], found[:, book], keys[book].T, out=scores)
        order[:, book] = largest(scores, depth)
    return order


def largest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """The places of the ``count`` largest entries of each row of ``scores`` [n, P], which are
    consumed, in order: int64 [n, count].

    Of equal ones, the first. On a CPU numpy finds one in a quarter of torch's time, and several of
    a long row at once.
    """
    if scores.device.type == "cpu" and 4 <= count < GROUPS and scores.shape[1] >= 16 * GROUPS:
        return _largest_of_long(scores, count)
    found = torch.empty(len(scores), count, dtype=torch.int64, device=scores.device)
    least = torch.finfo(scores.dtype).min if scores.is_floating_point() else -1
    for rank in range(count):
        if scores.device.type == "cpu":
            found[:, rank] = torch.from_numpy(scores.numpy().argmax(1))
        else:
            found[:, rank] = scores.argmax(1)
        if rank + 1 < count:
            scores.scatter_(1, found[:, rank, None], least)
    return found


def _largest_of_long(scores: torch.Tensor, count: int) -> torch.Tensor:
    """``largest`` in a fifth of the passes over the rows.

    The ``count``-th of the maxima of disjoint groups bounds the ``count``-th entry of a row from
    below, closely enough that little more is left to be sorted.
    """
    rows, width = scores.shape
    grouped = scores[:, : width // GROUPS * GROUPS].unflatten(1, (-1, GROUPS))
    bounds = np.partition(grouped.amax(1).numpy(), GROUPS - count, axis=1)[:, GROUPS - count]
    above = np.flatnonzero(scores.numpy() >= bounds[:, None])
    row, place = np.divmod(above, width)
    counts = np.bincount(row, minlength=rows)
    most = max(count, *counts)  # nothing is above a bound that is not a number
    at = row, np.arange(len(row)) - np.repeat(counts.cumsum() - counts, counts)
    places = np.zeros((rows, most), dtype=np.int64)
    falling = np.full((rows, most), np.inf, dtype=scores.numpy().dtype)
    places[at], falling[at] = place, -scores.numpy()[row, place]
    order = falling.argsort(axis=1, kind="stable")[:, :count]
    return torch.from_numpy(np.take_along_axis(places, order, axis=1))


class _Remembered:
    """The nearest keys of the samples that were looked up under one set of keys."""

    def __init__(self) -> None:
        self.places: dict[bytes, int] = {}
        self.order = torch.empty(0)

    def look_up(
        self, x: torch.Tensor, projections: torch.Tensor, keys: torch.Tensor, depth: int
    ) -> torch.Tensor:
        names = [sha256(row).digest() for row in x.contiguous().numpy()]
        new = {name: at for at, name in enumerate(names) if name not in self.places}
        if new:
            found = _in_blocks(x[list(new.values())], projections, keys, depth)
            if (len(self.places) + len(new)) * found[0].nbytes > BYTES:
                return _in_blocks(x, projections, keys, depth)
            self._add(list(new), found)
        return self.order.index_select(0, torch.tensor([self.places[name] for name in names]))

    def _add(self, names: list[bytes], found: torch.Tensor) -> None:
        held = len(self.places)
        if held + len(found) > len(self.order):
            grown = found.new_empty(2 * (held + len(found)), *found.shape[1:])
            if held:
                grown[:held] = self.order[:held]
            self.order = grown
        self.order[held : held + len(found)] = found
        self.places |= {name: held + at for at, name in enumerate(names)}


_known: OrderedDict[tuple[bytes, int], _Remembered] = OrderedDict()


def digest(*tensors: torch.Tensor) -> bytes:
    """What a set of keys is remembered by."""
    found = sha256()
    for tensor in tensors:
        found.update(tensor.contiguous().numpy().data)
    return found.digest()


@torch.no_grad()
def remembered(
    name: bytes, x: torch.Tensor, projections: torch.Tensor, keys: torch.Tensor, depth: int
) -> torch.Tensor:
    """``nearest`` of samples [B, size] on a CPU, under the keys whose digest is ``name``."""
    known = _known.setdefault((name, depth), _Remembered())
    _known.move_to_end((name, depth))
    while len(_known) > KEPT:
        _known.popitem(last=False)
    return known.look_up(x, projections, keys, depth)


def _in_blocks(
    x: torch.Tensor, projections: torch.Tensor, keys: torch.Tensor, depth: int
) -> torch.Tensor:
    parts = []
    for part in x.split(BLOCK):
        block = x.new_zeros(BLOCK, x.shape[1])
        block[: len(part)] = part
        parts.append(nearest(queries(block, projections), keys, depth)[: len(part)])
    return torch.cat(parts)
