"""The YAML reader: YAML 1.2 scalars, places, and nothing but plain data."""

from __future__ import annotations

import json
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.spec.places import SpecError
from harness.spec.reader import MAX_WHOLE, read_text, scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-4", 5e-4),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-1.", -1.0),
        ("0o17", 15),
        ("0x1F", 31),
        ("010", 10),
        ("no", "no"),
        ("off", "off"),
        ("yes", "yes"),
        ("true", True),
        ("null", None),
        ("~", None),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = read_text(f"a: {text}", "t").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_quoted_scalars_stay_strings() -> None:
    assert read_text("{a: '5', b: \"true\"}", "t").data == {"a": "5", "b": "true"}


def test_not_a_number_and_infinity_are_read_as_numbers() -> None:
    assert math.isnan(scalar(".nan"))
    assert scalar("-.inf") == -math.inf


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_WHOLE, MAX_WHOLE)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("text", [str(MAX_WHOLE + 1), f"-1{'0' * 350}"])
def test_a_whole_number_that_a_float_cannot_tell_from_the_next_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="whole numbers go up to"):
        read_text(f"a: {text}", "t")
    assert read_text(f"a: {MAX_WHOLE}", "t").data == {"a": MAX_WHOLE}


@given(plain)
def test_json_is_read_as_json_means_it(value: object) -> None:
    text = json.dumps({"v": value}, ensure_ascii=False)
    if any(letter in text for letter in "\x85\u2028\u2029"):
        with pytest.raises(SpecError, match=r"U\+(0085|2028|2029) breaks lines in old YAML only"):
            read_text(text, "t")
        return
    try:
        yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return  # characters that PyYAML does not print; the reader refuses them, tested below
    assert read_text(text, "t").data == {"v": value}


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        read_text(text, "t")
    except SpecError as error:
        assert all(problem.place.line >= 1 for problem in error.problems)


def test_places_are_of_the_value_and_of_the_key() -> None:
    document = read_text("a:\n  b: [1, 2]\n", "t")
    assert str(document.place(("a", "b", 1))) == "t:2:10"
    assert str(document.key_place(("a", "b"))) == "t:2:3"


@pytest.mark.parametrize("depth", [60, 5000])
def test_deep_nesting_is_refused(depth: int) -> None:
    with pytest.raises(SpecError, match="nested"):
        read_text("a: " + "[" * depth + "]" * depth, "t")


def test_half_a_surrogate_pair_is_refused_before_it_breaks_a_report() -> None:
    with pytest.raises(SpecError, match="surrogate"):
        read_text('a: "\\ud800"', "t")


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf", "1e999"])
def test_a_number_that_is_not_finite_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_text(f"a:\n  b: {text}\n", "x.yaml")
    assert str(caught.value) == f"x.yaml:2:6: a.b: found {text}; a finite number is needed"
    assert read_text(f"a: '{text}'\n", "x.yaml").data == {"a": text}
