"""What a spec may say of its figures."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from conftest import TINY
from harness.spec.blocks import Figure
from harness.spec.load import load_spec
from harness.spec.places import SpecError
from harness.spec.structure import structure, unstructure

CURVES = "show: curves, x: discovered, y: cost_share"


def spec_with(folder: Path, figure: str, profile: str = "{}") -> Path:
    file = folder / "spec.yaml"
    text = TINY.replace("profiles:", f"figures:\n  - {{title: A, {figure}}}\nprofiles:")
    file.write_text(f"{text}  other: {profile}\n")
    return file


def figure_of(file: Path, profile: str | None = None) -> Figure:
    [figure] = load_spec(file, profile).figures
    return figure


# figure: (what the place points at, words of the message)
MISTAKES: dict[str, tuple[str, list[str]]] = {
    "show: curve, x: discovered, y: cost_share": ("curve,", ["did you mean 'curves'"]),
    "show: curves, x: dicovered, y: cost_share": ("dicovered", ["did you mean 'discovered'"]),
    f"{CURVES}, panels: size": ("size", ["'size' is not swept", "axes: discovered"]),
    f"{CURVES}, panels: discovered": ("discovered}", ["x axis already"]),
    "show: curves, x: discovered, y: [cost_share, acuracy_drop]": (
        "[cost_share",
        ["did you mean 'accuracy_drop'"],
    ),
    "show: curves, x: discovered, y: []": ("[]", ["empty list"]),
    "show: curves, x: discovered, y: 3": ("3", ["found 3"]),
    "show: curves, x: {sweep: [discovered]}, y: cost_share": ("{sweep", ["a string is needed"]),
    f"{CURVES}, methods: [none, sssd]": ("[none", ["'sssd'", "did you mean 'ssd'"]),
    f"{CURVES}, method: ssd": ("ssd", ["takes 'methods'"]),
    "show: sweep, x: alpha, y: cost_share": ("{title", ["needs 'method'"]),
    "show: sweep, x: alpha, y: cost_share, method: sssd": ("sssd", ["did you mean 'ssd'"]),
    "show: sweep, x: alpa, y: cost_share, method: ssd": ("alpa", ["did you mean 'alpha'"]),
    "show: sweep, x: alpha, y: cst_share, method: ssd": ("cst_share", ["'cost_share'"]),
    "show: trajectory, x: a, y: b, method: ssd, methods: [ssd]": ("[ssd]", ["takes 'method'"]),
    "show: trajectory, x: a, y: b, method: ssd, panels: c": ("c}", ["'c' is not swept"]),
    "show: trajectory, x: a, y: b": ("{title", ["needs 'method'"]),
}


@pytest.mark.parametrize("figure", MISTAKES)
def test_a_mistake_is_named_with_its_place(figure: str, tmp_path: Path) -> None:
    points_at, words = MISTAKES[figure]
    file = spec_with(tmp_path, figure)
    with pytest.raises(SpecError) as error:
        load_spec(file)
    [problem] = error.value.problems[:1]
    line = file.read_text().splitlines()[problem.place.line - 1]
    assert line[problem.place.column - 1 :].startswith(points_at), problem
    for word in words:
        assert word in problem.message


def test_one_name_is_a_list_of_one() -> None:
    assert figure_fields("cost_share") == figure_fields(["cost_share"]) == ("cost_share",)


def figure_fields(y: object) -> tuple[str, ...]:

    plain = yaml.safe_load(TINY)
    plain["figures"] = [{"title": "A", "show": "curves", "x": "discovered", "y": y}]
    spec = structure(plain)
    assert structure(unstructure(spec)) == spec
    return spec.figures[0].y  # type: ignore[return-value]


def test_series_are_known_only_when_the_method_runs(tmp_path: Path) -> None:
    file = spec_with(tmp_path, "show: trajectory, x: percentile, y: loss, method: ssd")
    assert figure_of(file).y == ("loss",)


@pytest.mark.parametrize(
    ("figure", "profile"),
    [
        (CURVES, "{forget.discovered: 1.0}"),
        ("show: curves, x: patch, y: cost_share, panels: discovered", "{forget.discovered: 1.0}"),
        ("show: sweep, x: alpha, y: cost_share, method: ssd", "{methods.ssd.alpha: 10}"),
    ],
)  # fmt: skip
def test_a_profile_may_set_what_the_spec_sweeps(figure: str, profile: str, tmp_path: Path) -> None:
    assert figure_of(spec_with(tmp_path, figure, profile), "other").title == "A"
