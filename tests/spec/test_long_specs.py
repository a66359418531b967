"""Long specs: the work grows as the text does, or the spec is refused before the work begins."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import TINY, Cli
from harness.spec.merge import merge
from harness.spec.places import Document, Place
from harness.spec.tree import named

WITHOUT_PROFILES = TINY.partition("profiles:")[0]


def calls(act: Callable[[], object]) -> int:
    """How many functions are called by ``act``, which a slower machine does not change."""
    count = 0

    def one(*_: Any) -> None:
        nonlocal count
        count += 1

    sys.setprofile(one)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def of_keys(count: int, value: Any) -> Document:
    data = {f"k{i}": value for i in range(count)}
    places = {(key,): Place("a.yaml", i) for i, key in enumerate(data)}
    return Document(data, places, {(): Place("a.yaml"), **places})


@pytest.mark.parametrize("value", [{"a": 1}, None, 2])
def test_extending_a_spec_with_four_times_the_keys_is_four_times_the_work(value: Any) -> None:
    few, many = (
        calls(lambda n=n: merge(of_keys(n, 1), of_keys(n, value)))  # type: ignore[misc]
        for n in (200, 800)
    )
    assert many < 5 * few


def test_four_times_the_methods_are_four_times_the_work_to_name() -> None:
    few, many = (
        calls(lambda n=n: named([{"name": "ssd", "label": f"m{i}"} for i in range(n)]))  # type: ignore[misc]
        for n in (200, 800)
    )
    assert many < 5 * few


@pytest.mark.parametrize(
    "profiles",
    [
        "".join(f"  p{i}: {{train.steps: {i + 1}}}\n" for i in range(1000)),
        "  a:\n" + "".join(f"    train.x{i}: 1\n" for i in range(2000)),
    ],
)
def test_more_profiles_than_can_be_checked_in_seconds_are_refused(
    cli: Cli, tmp_path: Path, profiles: str
) -> None:
    (tmp_path / "long.yaml").write_text(f"{WITHOUT_PROFILES}profiles:\n{profiles}")
    done = cli("validate", "long.yaml")
    assert done.returncode == 2
    assert "long.yaml:21:3: profiles:" in done.stderr
    assert "are more than 500,000; move some" in done.stderr


def test_of_thousands_of_problems_the_first_hundred_are_said(cli: Cli, tmp_path: Path) -> None:
    keys = "".join(f"k{i}: 1\n" for i in range(1000))
    (tmp_path / "long.yaml").write_text(WITHOUT_PROFILES + keys)
    done = cli("validate", "long.yaml")
    assert done.returncode == 2
    assert done.stderr.count("unknown key") == 100
