"""Results from strangers: they are refused when they are read, or can be shown whole."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from report.sample import claim, sample

from conftest import Cli
from harness.errors import HarnessError, UsageError
from harness.report import read_results
from harness.report.checklist import checklist
from harness.report.html import page
from harness.report.leaderboard import Entry, as_github, as_json
from harness.report.markdown import markdown
from harness.report.profiles import other_profiles, profile_section
from harness.report.record import to_plain
from harness.report.section import Drawn

SAMPLE = sample(claims=[claim()])
PLAIN = json.loads(json.dumps(to_plain(SAMPLE)))
NO_DRAWINGS = Drawn(plot=None, figures=(), triggers=(), profiles=())
DEEP: list[Any] = []
for _ in range(300):
    DEEP = [DEEP]
STRANGE: list[Any] = [
    None, True, -1, 0.5, 1e308, 10**400, "", "x", "\ud800", "\0", "a\n# b", [], {}, [[]], [1, "a"],
    {"a": 1}, {"sweep": []}, {"sweep": 5}, {"sweep": [1], "zip": 3}, {"first": 0, "count": 10**15},
    DEEP, ["a", "b"], {"name": 5}, {"maximize": "(("}, {"unlearn": {"first": 0, "count": 10**15}},
]  # fmt: skip
Path_ = tuple[Any, ...]


def kinds_of_places(plain: Any) -> list[list[Path_]]:
    """Every place of ``plain``; those that differ in their position in lists stand together."""

    def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
        yield path
        if isinstance(value, dict | list):
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                yield from places(inner, (*path, key))

    found = defaultdict(list)
    for path in places(plain):
        found[tuple("#" if isinstance(part, int) else part for part in path)].append(path)
    return [several for kind, several in found.items() if kind]


PLACES = kinds_of_places(PLAIN)


def changed(path: Path_, value: Any) -> str:
    plain = json.loads(json.dumps(PLAIN))
    holder = plain
    for part in path[:-1]:
        holder = holder[part]
    if value == "remove":
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return json.dumps(plain)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES).flatmap(st.sampled_from), st.sampled_from([*STRANGE, "remove"]))
@example(("spec", "seeds"), {"unlearn": {"first": 0, "count": 10**15}})
@example(("spec", "methods"), DEEP)
@example(("spec", "methods", 0, "select"), {"maximize": "(("})
@example(("rows", 0, "metrics", "clean_accuracy"), 10**400)
@example(("rows", 0, "cell"), {})
@example(("spec", "train"), {"a": 1})
def test_what_is_read_can_be_shown(tmp_path: Path, path: Path_, value: Any) -> None:
    file = tmp_path / "results.json"
    file.write_text(changed(path, value))
    try:
        found = read_results(file)
    except HarnessError as error:
        assert str(file) in str(error)
        return
    shown = [markdown(found, NO_DRAWINGS), page(found, NO_DRAWINGS), checklist(found)]
    shown += [as_github([Entry("a", tmp_path, found)]), as_json([Entry("a", tmp_path, found)])]
    assert all(text.encode() for text in shown)
    assert profile_section(SAMPLE, found)


@pytest.mark.parametrize("name", ["id", "version"])
@pytest.mark.parametrize("end", ["\n", "\n# more", "](javascript:alert(1))", "<b>"])
def test_nothing_raw_reaches_a_title(tmp_path: Path, name: str, end: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(changed(("spec", name), PLAIN["spec"][name] + end))
    with pytest.raises(UsageError, match=f"does not match .* at spec.{name}"):
        read_results(file)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"format": 1, "rows": ' + "[" * 100_000 + "]" * 100_000 + "}", "NaN"]
)
@pytest.mark.parametrize("command", ["report", "leaderboard"])
def test_deep_or_strange_json_is_refused(cli: Cli, tmp_path: Path, command: str, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    done = cli(command, ".")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_neighbour_of_any_shape_does_not_end_ones_own_report(tmp_path: Path) -> None:
    for i, text in enumerate(["[" * 100_000, changed(("spec", "methods"), DEEP), "{}"]):
        (tmp_path / f"other{i}").mkdir()
        (tmp_path / f"other{i}" / "results.json").write_text(text)
    assert list(other_profiles(SAMPLE, tmp_path / "own")) == []
