"""Keys and numbers that may only change together with a revision.

``python tests/golden.py`` writes ``tests/golden.json`` anew. Every training takes a few steps only,
so that rounding on another processor stays far below the tolerance of the comparison.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from harness.execute.dispatch import Dispatcher
from harness.execute.progress import Lines
from harness.execute.workers import Here
from harness.plan.protocol import compile_plan
from harness.spec.load import load_spec
from harness.stages.options import Options
from harness.store import Store

HERE = Path(__file__).parent
SPEC = HERE / "golden.yaml"
FILE = HERE / "golden.json"


class _NeverStop:
    def is_set(self) -> bool:
        return False

    def set(self) -> None: ...


def measure(folder: Path) -> dict[str, dict[str, object]]:
    """Key, norm of all weights and metrics of each method of the golden spec."""
    plan = compile_plan(load_spec(SPEC))
    options = Options(store=folder, data_root=None, devices=("cpu",), jobs=1, offline=True)
    store = Store(folder)
    with (HERE / "golden.log").open("w") as log:
        dispatcher = Dispatcher(plan, store, {}, options, Lines(plan.describe, log), _NeverStop())
        dispatcher.run(lambda: Here(options, dispatcher.answer, _NeverStop()))
    (HERE / "golden.log").unlink()
    assert not dispatcher.graph.failed, dispatcher.graph.failed
    found: dict[str, dict[str, object]] = {}
    for group in plan.groups:
        [candidate] = group.candidates
        tensors = store.read("unlearn", candidate.unlearn).tensors
        assert tensors is not None
        found[group.method.label] = {
            "unlearn": candidate.unlearn,
            "evaluate": candidate.evaluate,
            "weights": sum(float(t.double().abs().sum()) for t in tensors.values()),
            "metrics": dict(dispatcher.metrics_of(candidate.evaluate)),
        }
    return found


def main() -> None:
    """Write the golden file anew."""
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(measure(Path(folder) / "store"), indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
