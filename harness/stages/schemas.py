"""What of each kind of stage may be published, and what its record must hold to be reused."""

from __future__ import annotations

from collections.abc import Mapping

from harness.store.records import COUNT, KEY, NUMBER, TEXT, Schema, block, every, listed
from harness.store.registry import Published

PUBLISHED: Mapping[str, Published] = {
    "corrupt": "whole",
    "train": "whole",
    "unlearn": "whole",
    "prepare": "record",
}

_METER = block(forward=COUNT, backward=COUNT, steps=COUNT)
RECORDS: Mapping[str, Mapping[str, Schema]] = {
    "corrupt": {
        "corrupted": COUNT,
        "data": block(
            name=TEXT, digest=TEXT, classes=COUNT, shape=listed(COUNT),
            train=COUNT, validation=COUNT, test=COUNT,
        ),
    },
    "train": {"meter": _METER, "fit": block(steps=COUNT, losses=listed(NUMBER))},
    "prepare": {"meter": _METER, "prepared": listed(KEY)},
    "unlearn": {
        "meter": _METER, "prepared": listed(KEY), "series": every(listed(NUMBER)),
        "facts": every(NUMBER),
    },
}  # fmt: skip
