"""What one unlearning took, with all that was prepared for it."""

from __future__ import annotations

from harness.report.results import ResultRow, Seconds
from harness.report.times import times_of


class _Records:
    """A store of three records: a search that needs a trajectory that needs an importance."""

    def record(self, kind: str, key: str) -> dict[str, object]:
        seconds = {"u": 1.0, "t": 10.0, "i": 100.0}[key]
        needs = {"u": ["i", "t"], "t": ["i"], "i": []}[key]
        return {"seconds": {"wall": seconds, "cpu": 2 * seconds}, "prepared": needs}


def test_what_was_prepared_counts_once_although_two_stages_need_it() -> None:
    rows = [
        ResultRow({}, 0, "ptn", {}, selected, {}, {"unlearn": "u"})
        for selected in (True, False, True)
    ]
    found = times_of(rows, _Records())  # type: ignore[arg-type]
    assert found == {"ptn": Seconds(wall=111.0, cpu=222.0, gpu=None, n=2)}
