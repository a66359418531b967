"""Specs that somebody broke, by accident or on purpose: every one ends in a message or loads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conftest import ROOT
from harness.api import load
from harness.errors import HarnessError

QUICKSTART = (ROOT / "specs" / "quickstart.yaml").read_text()
PLAIN = yaml.safe_load(QUICKSTART)
STRANGE: list[Any] = [
    None, True, 0, -1, 0.5, 1e308, 1e-320, 2**60, 10**350, "", "x", "\0", "tiny\n", "../x", "<<",
    [], {}, [[]], [1, "a"], {"a": 1}, {"": None}, {"name": 5}, {"name": "ssd", "alpha": "x"},
    {"sweep": []}, {"sweep": [1]}, {"sweep": 5}, {"sweep": [1, "a"], "zip": 3}, {"extends": "x"},
    ["none", "none"], [{"name": "none", "label": "a"}] * 2, {"methods.ssd.alpha": None},
]  # fmt: skip


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*path, key))


PATHS = list(paths(PLAIN))[1:]


def changed(path: tuple[Any, ...], how: str, value: Any) -> str:
    """The quickstart's spec as JSON, which is YAML, with one place of it changed."""
    plain = json.loads(json.dumps(PLAIN))
    holder = plain
    for part in path[:-1]:
        holder = holder[part]
    if how == "replace":
        holder[path[-1]] = value
    elif how == "remove":
        del holder[path[-1]]
    elif isinstance(holder, dict):
        holder[str(value)[:20]] = holder[path[-1]]
    else:
        holder.insert(0, value)
    return json.dumps(plain)


def ends(folder: Path, text: str, sets: tuple[str, ...] = ()) -> None:
    file = folder / "mutant.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load(file, None, sets).plan()
    except HarnessError as error:
        assert str(error)


some = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@some
@given(
    st.sampled_from(PATHS), st.sampled_from(["replace", "remove", "add"]), st.sampled_from(STRANGE)
)
@example(("train", "batch_size"), "replace", 10**350)
@example(("budget", "cpu_hours"), "replace", 10**350)
@example(("model",), "replace", {"name": "small_cnn", "widths": [2**50]})
def test_a_spec_with_one_place_changed_ends_in_a_message(
    tmp_path: Path, path: tuple[Any, ...], how: str, value: Any
) -> None:
    ends(tmp_path, changed(path, how, value))


@some
@given(st.integers(0, len(QUICKSTART)), st.integers(0, 30), st.text(max_size=6))
def test_a_spec_with_a_few_letters_changed_ends_in_a_message(
    tmp_path: Path, start: int, length: int, text: str
) -> None:
    ends(tmp_path, QUICKSTART[:start] + text + QUICKSTART[start + length :])


@pytest.mark.parametrize(
    "change",
    ["methods.none.x=null", "train.epochs.x=null", "methods.0.a.b.c=null", "a..b=null", "seeds.0=null"],
)  # fmt: skip
def test_taking_away_what_is_not_there_ends_in_a_message(tmp_path: Path, change: str) -> None:
    ends(tmp_path, QUICKSTART, (change,))
