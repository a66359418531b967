"""What one spec says otherwise than another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen

from harness.spec.blocks import Spec
from harness.spec.claims import Claim
from harness.spec.merge import names_another
from harness.spec.structure import unstructure
from harness.spec.sweeps import CELL_BLOCKS
from harness.spec.tree import Names, is_block, named

ABSENT = object()  # the value of a path that one of the specs does not have

# What takes part in the keys of stages, and what of a method does not.
STAGE_SECTIONS = ("seeds", *CELL_BLOCKS, "methods", "metrics")
CHOICE = ("label", "select", "keep", "max_cost")
# What identifies a claim; the rest is what it says.
SAME_CLAIM = (
    "claim", "metric", "like", "method", "methods", "axis", "values", "against", "where", "over",
    "at",
)  # fmt: skip


@frozen
class Change:
    """One value, or one whole component, that differs; ``ABSENT`` where a spec has none."""

    path: Names
    old: Any
    new: Any

    @property
    def changes_stages(self) -> bool:
        """Whether the value takes part in the keys of stages."""
        chosen = self.path[0] == "methods" and len(self.path) > 2 and self.path[2] in CHOICE
        return self.path[0] in STAGE_SECTIONS and not chosen


def changes(old: Spec, new: Spec) -> list[Change]:
    """Every value that differs, defaults filled in; claims are left to ``claims_changed``.

    A component that another one replaces is one change, and so is the order of metrics or of
    augmentations, which numbers depend on.
    """
    before, after = ({**unstructure(spec), "claims": []} for spec in (old, new))
    return list(_between(named(before), named(after), ()))


def _between(old: Any, new: Any, path: Names) -> Iterator[Change]:
    if not (is_block(old) and is_block(new)) or names_another(old, new):
        if old != new:
            yield Change(path, old, new)
        return
    for key in dict.fromkeys([*old, *new]):
        yield from _between(old.get(key, ABSENT), new.get(key, ABSENT), (*path, key))
    shared = [[key for key in side if key in old and key in new] for side in (old, new)]
    listed = ("metrics",), ("data", "augment"), ("data", "defences")
    if path in listed and shared[0] != shared[1]:
        yield Change((*path, "order"), shared[0], shared[1])


def claims_changed(old: Spec, new: Spec) -> list[tuple[str, Claim]]:
    """Claims that were ``removed`` or ``added``, and what a claim says now that ``changed``."""
    gone = [claim for claim in old.claims if claim not in new.claims]
    come = [claim for claim in new.claims if claim not in old.claims]
    found: list[tuple[str, Claim]] = []
    for claim in come:
        same = _same(claim, gone)
        if same is not None:
            gone.remove(same)
        found.append(("added" if same is None else "changed", claim))
    return [*(("removed", claim) for claim in gone), *found]


def _same(claim: Claim, among: Sequence[Claim]) -> Claim | None:
    """The claim of ``among`` that is about the same statement of the paper."""
    wanted = _subject(claim)
    return next((c for c in among if _subject(c) == wanted), None)


def _subject(claim: Claim) -> list[Any]:
    return [getattr(claim, name, None) for name in SAME_CLAIM]
