"""Where the mend of a mistake is clear, the message says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import TINY, Cli
from harness.errors import UsageError
from harness.spec.load import load_spec
from harness.spec.places import SpecError

# what is written in the tiny spec: (what somebody writes instead, place, what is to be written)
MENDS = [
    ("steps: 30", "epochs:2", "9:10", "a space is needed after the colon: epochs: 2"),
    ("lr: 0.05", "lr:0.05", "11:26", "a space is needed after the colon: lr: 0.05"),
    ("share: 0.1", "share: 4%", "6:62", "write 0.04"),
    ("train.steps: 5", "corruption.share: 12.5 %", "21:29", "write 0.125"),
    ("patch: 2", 'patch: "2"', "6:35", "remove the quotes"),
    ("seeds: [0]", "seeds: 3", "4:8", "write [3]"),
    ("{sweep: [5, 50]}", "[5, 50]", "17:12", "write {sweep: [5, 50]}"),
    ("version: 1.0.0", "version: 1.0", "3:10", "write 1.0.0"),
    ("version: 1.0.0", "version: 2", "3:10", "write 2.0.0"),
    ("dataset: digits", "dataset: CIFAR-10", "5:17", "did you mean 'cifar10'?"),
    ("name: badnet", "name: BadNet", "6:20", "did you mean 'badnet'?"),
    ("id: tiny", "id: My_Paper", "2:5", "write my-paper"),
    ("train:", "<<: {seeds: [1]}\ntrain:", "8:1", "write the values out, or use 'extends'"),
    ("seeds: [0]", "paper: {title: 2024}", "4:16", "put it into quotes"),
    ("accuracy_drop, cost]", "cost]", "18:24", "add accuracy_drop to metrics"),
    (
        "-accuracy_drop)",
        "-validation_accuracy_drop)",
        "18:24",
        "add {name: accuracy_drop, split: validation} to metrics",
    ),
    (
        "profiles:",
        "claims: [{claim: order, metric: healed, methods: [ssd, none], where: T1}]\nprofiles:",
        "20:33",
        "add healed to metrics",
    ),
    (
        "steps: 30",
        "steps: 9007199254740993",
        "9:10",
        "whole numbers go up to 9,007,199,254,740,992",
    ),
    (
        "seeds: [0]",
        "seeds: [9007199254740993]",
        "4:9",
        "whole numbers go up to 9,007,199,254,740,992",
    ),
    ("validation: 0.1", "validation: 0.0001", "5:76", "that is no sample of 300"),
]


@pytest.mark.parametrize(("right", "wrong", "place", "mend"), MENDS)
def test_the_mend_is_said(right: str, wrong: str, place: str, mend: str, tmp_path: Path) -> None:
    assert right in TINY
    file = tmp_path / "bad.yaml"
    file.write_text(TINY.replace(right, wrong, 1))
    with pytest.raises(SpecError) as error:
        load_spec(file)
    said = [str(problem) for problem in error.value.problems]
    assert any(f"bad.yaml:{place}:" in text and mend in text for text in said), said


def test_no_number_is_guessed_that_the_file_does_not_have(tmp_path: Path) -> None:
    """The last digit of 2406.09170 is gone once it was read as a number."""
    file = tmp_path / "bad.yaml"
    file.write_text(TINY.replace("seeds", "paper: {title: T, arxiv: 2406.09170}\nseeds", 1))
    with pytest.raises(SpecError, match="put it into quotes$"):
        load_spec(file)


def test_the_nearest_name_of_a_missing_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "specs" / "potion").mkdir(parents=True)
    file = tmp_path / "specs" / "potion" / "cifar10.yaml"
    file.write_text("extends: imagenete.yaml")
    (file.parent / "imagenette.yaml").write_text(TINY)
    for wrong in ("specs/potion/cifar-10.yaml", "specs/potoin/cifar10.yaml"):
        with pytest.raises(UsageError, match=r"did you mean '.*cifar10.yaml'"):
            load_spec(tmp_path / wrong)
    with pytest.raises(SpecError, match=r"no such spec.*did you mean 'imagenette.yaml'"):
        load_spec(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ":1:1: found an empty file"),
        (b"# only a comment\n", ":1:1: found an empty file"),
        ("id: tiny\nnote: M\u00fcller".encode("latin-1"), ":2:8: not UTF-8 text: found the byte 0xfc"),
        (TINY.encode("utf-16"), ":1:1: not UTF-8 text: found the byte 0xff"),
        (b"id: a\nnote: a\x07b", ":2:8: the character U+0007 is not allowed"),
    ],
)  # fmt: skip
def test_an_empty_or_wrongly_encoded_file_is_named_with_the_place(
    content: bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    with pytest.raises(SpecError) as error:
        load_spec(file)
    assert f"{file}{message}" in str(error.value)


LONG = "x" * 300


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("steps: 30", f"steps: {LONG}"),
        ("steps: 30", f"steps: {' '.join(['word'] * 60)}"),
        ("steps: 30", f"{LONG}: 3"),
        ("steps: 30", f"'a {' '.join(['word'] * 60)}': 3"),
        ("name: badnet", f"name: {LONG}"),
        ("patch: 2", f"patch: 1{'0' * 300}"),
        ("widths: [8, 16]", f"widths: [{', '.join(['x'] * 200)}, {LONG}]"),
    ],
)
def test_a_long_value_is_cut(right: str, wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(TINY.replace(right, wrong, 1))
    with pytest.raises(SpecError) as error:
        load_spec(file)
    for problem in error.value.problems:
        assert "x" * 101 not in str(problem) and "0" * 101 not in str(problem)
        assert str(problem).count("word") < 45


def test_validate_shows_the_line_with_a_caret_below_its_place(cli: Cli, tmp_path: Path) -> None:
    long = TINY.replace(
        "share: 0.1", "value: 1.0, target_class: 0, include_target: true, share: 4%"
    )
    (tmp_path / "bad.yaml").write_text(long.replace("steps: 30", "stepz: 30 # \u202e", 1))
    done = cli("validate", "bad.yaml")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    for place, text in (("6:", "4%"), ("9:", "stepz: 30")):
        [at] = [i for i, line in enumerate(lines) if line.startswith(f"bad.yaml:{place}")]
        shown, caret = lines[at + 1 : at + 3]
        assert caret.strip() == "^"
        assert shown[caret.index("^") :].startswith(text)
        assert len(shown) <= 104
    assert "\u202e" not in done.stderr


def test_a_mistake_in_a_file_that_is_extended_is_shown_there(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(TINY.replace("steps: 30", "stepz: 30", 1))
    (tmp_path / "own.yaml").write_text("extends: base.yaml\nid: own\n")
    assert "base.yaml:9:3: " in (said := cli("validate", "own.yaml").stderr)
    assert "\n      stepz: 30\n      ^\n" in said
