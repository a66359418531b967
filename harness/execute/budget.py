"""What is left to compute of a plan, and the refusal to begin more than was allowed."""

from __future__ import annotations

from harness.errors import OverBudget
from harness.plan.cost import flops_of
from harness.plan.plan import Plan
from harness.store import Store


def left_flops(plan: Plan, store: Store) -> float:
    """An estimate of the floating-point operations that ``store`` does not spare."""
    missing = (s for s in plan.stages.values() if not store.has(s.kind, s.key))
    return sum(flops_of(stage) for stage in missing)


def refuse_over(exaflop: float, flops: float, advice: str) -> None:
    """Raise OverBudget when more than ``exaflop`` is left to compute."""
    if flops > exaflop * 1e18:
        raise OverBudget(
            f"the plan needs about {flops / 1e18:.3g} EFLOP, the budget is {exaflop:g}; "
            f"nothing ran. {advice}"
        )
