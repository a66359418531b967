"""One stage, and what came of it: every error becomes an event."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from harness.errors import HarnessError, IntegrityError, Interrupted, OverBudget, RemoteError
from harness.execute.workers.events import (
    Computed,
    End,
    Failed,
    Found,
    InputDamaged,
    Locked,
    Stepped,
    Stopped,
)
from harness.plan.stage import Stage
from harness.stages.watch import Progress, StopFlag


def attempts(
    stages: Sequence[Stage], world: Any, emit: Callable[[Stepped], None], stop: StopFlag
) -> list[End]:
    """``attempt`` each of ``stages``, and train together what they train."""

    def one(stage: Stage, seat: Any = None) -> End:
        def progress(done: int, total: int, loss: float | None) -> None:
            emit(Stepped(stage.key, done, total, loss))

        return attempt(stage, world, progress, stop, seat)

    if len(stages) == 1:
        return [one(stages[0])]
    from harness.training.replicas import take_turns

    return take_turns([partial(one, stage) for stage in stages])


def attempt(stage: Stage, world: Any, progress: Progress, stop: StopFlag, seat: Any = None) -> End:
    """Compute ``stage``, on its ``seat`` among several, unless another run is at it, and say what
    came of it."""
    from harness.stages.compute import compute
    from harness.stages.world import DamagedInput

    begun = time.monotonic()
    try:
        outcome = compute(stage, world, progress, stop, seat)
    except Interrupted:
        return Stopped(stage.key)
    except DamagedInput as damaged:
        return InputDamaged(stage.key, damaged.key, str(damaged))
    except (IntegrityError, OverBudget, RemoteError) as error:
        return Failed(stage.key, str(error), "", type(error).__name__)
    except HarnessError as error:
        return Failed(stage.key, str(error), "", "StageFailed")
    except Exception as error:
        if _out_of_memory(error):
            return Failed(stage.key, f"memory ran out ({error})", "", "StageFailed")
        shown = f"{type(error).__name__}: {error}"
        return Failed(stage.key, shown, traceback.format_exc(), "StageFailed")
    match outcome:
        case "done":
            return Computed(stage.key, time.monotonic() - begun - getattr(seat, "away", 0.0))
        case "there":
            return Found(stage.key)
        case "busy":
            return Locked(stage.key)


def _out_of_memory(error: Exception) -> bool:
    """Whether Python, torch's processor part or an accelerator could not allocate."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)
