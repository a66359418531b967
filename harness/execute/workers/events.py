"""What workers answer: any number of notices of a stage, then exactly one end of it."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen


@frozen
class Stepped:
    """A stage has done ``done`` of ``total`` steps."""

    key: str
    done: int
    total: int
    loss: float | None


@frozen
class Imported:
    """A process has imported ``modules`` (outermost names) since it last said so."""

    key: str
    modules: frozenset[str]


@frozen
class Computed:
    """The artifact of a stage is in the store, and this worker put it there."""

    key: str
    seconds: float


@frozen
class Found:
    """Another run has put the artifact of a stage into the store meanwhile."""

    key: str


@frozen
class Locked:
    """Another run is computing the stage."""

    key: str


@frozen
class Failed:
    """A stage raised. ``error`` names the error's class; ``trace`` is empty where a user can mend
    the cause."""

    key: str
    message: str
    trace: str
    error: str


@frozen
class InputDamaged:
    """A stage cannot be computed before ``damaged``, an input of it that was set aside."""

    key: str
    damaged: str
    message: str


@frozen
class Stopped:
    """A stage was asked to stop, and has saved its state."""

    key: str


Notice: TypeAlias = Stepped | Imported
End: TypeAlias = Computed | Found | Locked | Failed | InputDamaged | Stopped
Event: TypeAlias = Notice | End
