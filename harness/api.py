"""What the package offers to Python, and its command line uses: a loaded spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from harness.plan.only import restrict
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.spec.blocks import Spec
from harness.spec.load import load_with_origins, profile_names
from harness.spec.origins import Row


@frozen
class Experiment:
    """A spec that was read and checked, with where its values come from.

    ``origins`` has path, value, origin and place of every value; ``profile`` is ``cpu+official``
    where both were applied, and ``changes`` are the ``PATH=VALUE`` that came on top.
    """

    file: Path
    spec: Spec
    origins: list[Row]
    profile: str | None
    changes: tuple[str, ...]

    def plan(self, only: Sequence[str] = ()) -> Plan:
        """Its stages and the rows of its tables; ``only`` those that fit each ``AXIS=VALUE``."""
        return restrict(compile_plan(self.spec), only)

    @property
    def folder(self) -> Path:
        """Where its report goes unless another place is named."""
        return Path("results") / self.spec.id / (self.profile or "default")


def load(spec: Path | str, profile: str | None = None, sets: Sequence[str] = ()) -> Experiment:
    """Read and check the file ``spec`` with profiles (``a,b``) and changes (``PATH=VALUE``).

    Raises:
        SpecError: with every problem of the spec and of each of its profiles.
        UsageError: the file cannot be read, or there is no such profile.
    """
    file = Path(spec)
    loaded, origins = load_with_origins(file, profile, sets)
    applied = "+".join(profile_names(profile)) or None
    return Experiment(file, loaded, origins, applied, tuple(sets))
