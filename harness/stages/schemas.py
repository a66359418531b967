"""Pieces of the schemas of records that several kinds of stages share."""

from __future__ import annotations

from harness.store.records import COUNT, NUMBERS, TEXT, block, listed, optional

METER = block(forward=COUNT, backward=COUNT, steps=COUNT)
FIT = block(steps=COUNT, losses=NUMBERS)
DATA = block(
    name=TEXT, digest=TEXT, classes=COUNT, shape=listed(COUNT),
    train=COUNT, validation=COUNT, test=COUNT, tokenizer=optional(TEXT),
)  # fmt: skip
