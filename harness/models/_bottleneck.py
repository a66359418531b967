"""The module of ``key_value_bottleneck``. Imported inside the function that builds it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from harness.data.pool import Pool
from harness.models._nearest import DEPTH, digest, largest, nearest, offsets, queries, remembered
from harness.models.key_value_bottleneck import Bottleneck

EXCLUDED, ZERO = 1, 2  # in ``masked``


class Values(nn.EmbeddingBag):
    """Rows of values that start at 0."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)


def _at(table: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Entries of ``table`` in the shape of ``rows``; a quarter of the time of indexing."""
    return table.flatten().index_select(0, rows.flatten()).view(rows.shape)


def _version(*tensors: torch.Tensor) -> tuple[tuple[int, int], ...]:
    """Changes whenever one of them does."""
    return tuple((tensor._version, tensor.data_ptr()) for tensor in tensors)


class KeyValueBottleneck(nn.Module):
    """See ``key_value_bottleneck``."""

    projections: torch.Tensor
    keys: torch.Tensor
    uses: torch.Tensor
    masked: torch.Tensor
    placed: torch.Tensor

    def __init__(self, settings: Bottleneck, size: int, classes: int) -> None:
        super().__init__()
        self.settings = settings
        books, pairs, width = settings.codebooks, settings.pairs, settings.key_size
        projections = nn.functional.normalize(torch.randn(size, books, width), dim=0)
        self.register_buffer("projections", projections)
        self.register_buffer("keys", torch.randn(books, pairs, width))
        self.register_buffer("uses", torch.zeros(books, pairs, dtype=torch.int32))
        self.register_buffer("masked", torch.zeros(books, pairs, dtype=torch.uint8))
        self.register_buffer("placed", torch.tensor(False))
        self.values = Values(
            books * pairs, classes, mode="sum", sparse=settings.gradient == "sparse"
        )
        self._named: tuple[Any, bytes] = ((), b"")
        self._free: tuple[Any, torch.Tensor] = ((), torch.empty(0))
        self._left: dict[int, tuple[torch.Tensor, ...]] = {}  # by codebook, of what is free

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [B, size] to logits [B, classes]."""
        pairs = self.selected(x)
        rows = self._rows(pairs.clamp(min=0))
        gives = (pairs >= 0) & (_at(self.masked, rows) != ZERO)
        weights = gives.to(self.values.weight.dtype).flatten(1)
        fetched: torch.Tensor = self.values(rows.flatten(1), per_sample_weights=weights)
        return fetched / len(self.keys)

    @torch.no_grad()
    def selected(self, x: torch.Tensor) -> torch.Tensor:
        """The pairs that are fetched, int64 [B, C, top_k]; -1 where a codebook has none left."""
        if x.is_meta:  # only counted
            return self._order(x)[..., : self.settings.top_k].long()
        with torch.autocast(x.device.type, enabled=False):
            return self._selected(x)

    def _selected(self, x: torch.Tensor) -> torch.Tensor:
        order = self._order(x)
        pairs = order[..., : self.settings.top_k].long()
        free = self.masked != EXCLUDED
        if self.placed and self.settings.unused == "excluded":
            free &= self.uses > 0
        rows, blocked = (~_at(free, self._rows(pairs))).any(2).nonzero(as_tuple=True)
        if len(rows):
            pairs[rows, blocked] = self._next(x, order, free, rows, blocked)
        return pairs

    def _rows(self, pairs: torch.Tensor) -> torch.Tensor:
        """Places of pairs [B, C, k] among all."""
        books = torch.arange(len(self.keys), device=pairs.device)[:, None]
        return books * self.settings.pairs + pairs

    def _next(
        self,
        x: torch.Tensor,
        order: torch.Tensor,
        free: torch.Tensor,
        rows: torch.Tensor,
        books: torch.Tensor,
    ) -> torch.Tensor:
        """The nearest pairs that are ``free`` for each of ``rows`` in its codebook: [n, top_k]."""
        k = self.settings.top_k
        candidates = order.flatten(0, 1).index_select(0, rows * len(self.keys) + books).long()
        open_ = _at(free, books[:, None] * self.settings.pairs + candidates)
        ranks = torch.arange(order.shape[-1], 0, -1, dtype=torch.int16, device=x.device)
        pairs = candidates.gather(1, largest(open_ * ranks, k))
        short = (open_.sum(1) < k).nonzero()[:, 0]
        short = short[books[short].argsort(stable=True)]
        names, counts = books[short].unique_consecutive(return_counts=True)
        version = _version(self.keys, self.projections)
        if self._free[0] != version or not torch.equal(self._free[1], free):
            self._free, self._left = (version, free), {}
        for book, at in zip(names.tolist(), short.split(counts.tolist()), strict=True):
            if book not in self._left:
                projection = self.projections[:, book].contiguous()
                left = free[book].nonzero()[:, 0]
                keys = self.keys[book, left]
                self._left[book] = left, projection, keys.T, offsets(keys)
            left, projection, keys, halves = self._left[book]
            close = torch.addmm(halves, x.index_select(0, rows[at]) @ projection, keys)
            found = left[largest(close, min(k, len(left)))]
            pairs[at] = nn.functional.pad(found, (0, k - found.shape[1]), value=-1)
        return pairs

    def _order(self, x: torch.Tensor) -> torch.Tensor:
        """The nearest keys whatever is masked, [B, C, depth]."""
        depth = min(max(self.settings.top_k, DEPTH), self.settings.pairs)
        if x.device.type != "cpu":
            return nearest(queries(x, self.projections), self.keys, depth)
        version = _version(self.projections, self.keys)
        if self._named[0] != version:
            self._named = version, digest(self.projections, self.keys)
        return remembered(self._named[1], x, self.projections, self.keys, depth)

    @torch.no_grad()
    def see_inputs(self, pool: Pool, draws: torch.Generator, watch: Any) -> None:
        """Place the keys by moving averages over ``pool``, and count which pairs are selected.

        Of a batch, n and s of a key move by 1 - decay towards the number and the sum of the queries
        nearest to it; the key becomes s / n, n with Laplace smoothing. Then a key whose n is small
        is put on a query of the batch, and its n and s stay, as in the official code.
        """
        if self.placed:
            return
        own, pairs = self.settings, self.settings.pairs
        count, total = torch.zeros_like(self.keys[..., 0]), self.keys.clone()
        least = own.dead_share * own.key_batch_size / pairs
        passes = (own.key_epochs + 1) * len(pool)
        books = torch.arange(len(self.keys), device=self.keys.device)
        for _ in range(own.key_epochs):
            for batch in pool.epoch(own.key_batch_size, draws):
                found = queries(batch.x, self.projections)
                rows = (books * pairs + nearest(found, self.keys, 1)[..., 0]).flatten()
                added = torch.bincount(rows, minlength=count.numel()).to(count)
                count.mul_(own.key_decay).add_(added.view_as(count), alpha=1 - own.key_decay)
                total.mul_(own.key_decay).view(-1, own.key_size).index_add_(
                    0, rows, found.flatten(0, 1), alpha=1 - own.key_decay
                )
                sums = count.sum(1, keepdim=True)
                smooth = (count + own.key_smoothing) / (sums + pairs * own.key_smoothing) * sums
                torch.div(total, smooth[..., None], out=self.keys)
                dead = (count < least).nonzero(as_tuple=True)
                taken = torch.randint(len(found), (len(dead[0]),), generator=draws)
                self.keys[dead] = found[taken.to(found.device), dead[0]]
                watch.meter.forward(len(found))
                watch.step(watch.meter.forward_samples, passes, None)
        self.uses += self.counts(pool, watch)
        self.placed.fill_(True)

    @torch.no_grad()
    def counts(self, pool: Pool, watch: Any) -> torch.Tensor:
        """How many samples of ``pool`` select each pair: int32 [C, P]."""
        found = torch.zeros(self.uses.numel(), dtype=torch.int32, device=self.uses.device)
        for batch in pool.ordered():
            pairs = self.selected(batch.x)
            rows = self._rows(pairs)[pairs >= 0]
            found += torch.bincount(rows, minlength=len(found)).to(found.dtype)
            watch.meter.forward(len(batch.y))
        return found.view_as(self.uses)
