"""The language: schema, round trip, extends, profiles, overrides, select."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from conftest import ROOT, TINY, Cli
from harness.commands.describe import example
from harness.commands.new import new_spec
from harness.components import load
from harness.spec import expression
from harness.spec.blocks import Select
from harness.spec.load import load_spec
from harness.spec.places import SpecError
from harness.spec.reader import read_text
from harness.spec.schema import required_settings, schema, schema_text
from harness.spec.structure import structure, unstructure


def test_the_committed_schema_is_not_stale() -> None:
    committed = (ROOT / "specs" / "schema" / "v1.json").read_text()
    assert committed == schema_text(), "run: harness schema --write specs/schema/v1.json"


def test_the_schema_is_draft_07_and_describes_every_field() -> None:
    Draft7Validator.check_schema(schema())
    bare = [path for path, field in _fields(schema(), "") if not field.get("description")]
    assert not [p for p in bare if not p.endswith((".sweep",))]


def _fields(node: object, path: str):  # type: ignore[no-untyped-def]
    if isinstance(node, dict):
        for name, field in (node.get("properties") or {}).items():
            yield f"{path}.{name}", field
        for key, value in node.items():
            yield from _fields(value, f"{path}/{key}")
    elif isinstance(node, list):
        for item in node:
            yield from _fields(item, path)


numbers = st.floats(0.001, 10, allow_nan=False)


@st.composite
def specs(draw: st.DrawFn) -> dict:
    """Specs over the small language of the tiny one, sweeps included."""
    plain = yaml.safe_load(TINY)

    def maybe_swept(values: st.SearchStrategy) -> object:
        if draw(st.booleans()):
            return draw(values)
        return {"sweep": draw(st.lists(values, min_size=1, max_size=3))}

    plain["seeds"] = draw(st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True))
    plain["train"]["optimizer"] = draw(
        st.sampled_from(["sgd", "adam", {"name": "adamw", "beta1": 0.8}])
    )
    plain["train"]["steps"] = maybe_swept(st.integers(1, 10**6))
    plain["train"]["label_smoothing"] = draw(st.floats(0, 0.9))
    plain["corruption"]["share"] = maybe_swept(st.floats(0.01, 1))
    plain["forget"]["discovered"] = maybe_swept(st.floats(0.01, 1))
    plain["methods"][2]["alpha"] = {"sweep": draw(st.lists(numbers, min_size=1, max_size=3))}
    plain["note"] = draw(st.text(max_size=30))
    return plain


@given(specs())
def test_spec_to_attrs_to_yaml_to_attrs_is_the_identity(plain: dict) -> None:
    assert not list(Draft7Validator(schema()).iter_errors(plain))
    spec = structure(plain)
    written = yaml.safe_dump(unstructure(spec), allow_unicode=False)
    again = structure(read_text(written, "t").data)
    assert again == spec
    assert unstructure(again) == unstructure(spec)


@given(specs())
def test_a_resolved_spec_is_valid_itself(plain: dict) -> None:
    resolved = json.loads(json.dumps(unstructure(structure(plain))))
    assert not list(Draft7Validator(schema()).iter_errors(resolved))


def test_extends_merges_deeply_and_lists_replace(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(TINY)
    (tmp_path / "over.yaml").write_text(
        "extends: base.yaml\nid: over\nseeds: [7]\ntrain: {optimizer: {lr: 0.5}}\nmethods: [none]\n"
        "profiles: {smoke: {train.steps: 3}}\n"
    )
    (tmp_path / "base.yaml").write_text(TINY.replace(", methods.ssd.alpha: 10", ""))
    spec = load_spec(tmp_path / "over.yaml")
    assert (spec.id, spec.seeds, spec.train.steps) == ("over", (7,), 30)
    assert spec.train.optimizer.settings.lr == 0.5
    assert [m.label for m in spec.methods] == ["none"]


def test_naming_another_component_drops_the_settings_of_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(TINY)
    (tmp_path / "over.yaml").write_text("extends: base.yaml\nmodel: {name: mlp}\n")
    assert load_spec(tmp_path / "over.yaml").model.name == "mlp"


def test_errors_in_an_extended_file_name_that_file(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(TINY.replace("lr: 0.05", "lr: 0"))
    (tmp_path / "over.yaml").write_text("extends: base.yaml\nid: over\n")
    with pytest.raises(SpecError, match=r"base\.yaml:11:30: train\.optimizer\.lr"):
        load_spec(tmp_path / "over.yaml")


def test_profile_then_set_override_in_that_order(tiny: Path) -> None:
    assert load_spec(tiny, "smoke").train.steps == 5
    spec = load_spec(tiny, "smoke", ["train.steps=9", "methods.1=finetune", "data.dataset=digits"])
    assert spec.train.steps == 9
    assert spec.methods[1].use.name == "finetune"
    assert spec.methods[2].use.settings.alpha == 10


def test_a_setting_of_a_component_named_by_a_word_can_be_overridden(tiny: Path) -> None:
    tiny.write_text(TINY.replace("{name: small_cnn, widths: [8, 16]}", "small_cnn"))
    assert load_spec(tiny, None, ["model.widths=[4]"]).model.settings.widths == (4,)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a", 2.0), ("-a + 3 * b", 7.0), ("mean(a, -b, 4)", 1.0), ("max(a, b) / min(a, b)", 1.5)],
)
def test_select_expressions_are_arithmetic(text: str, value: float) -> None:
    assert expression.evaluate(expression.parse(text), {"a": 2.0, "b": 3.0}) == value


@pytest.mark.parametrize(
    "text",
    ["", "a.b", "a[0]", "open('x')", "lambda: 1", "a if b else 1", "'x'", "mean()", "a ** 9", "f(a)",
     "(" * 250, "mean(a, key=b)", "True"],
)  # fmt: skip
def test_select_refuses_everything_else(text: str) -> None:
    with pytest.raises(expression.ExpressionError):
        expression.parse(text)


@given(st.text(max_size=60))
def test_select_never_raises_anything_but_its_own_error(text: str) -> None:
    try:
        expression.parse(text)
    except expression.ExpressionError:
        pass


def test_minimize_is_the_opposite_of_maximize() -> None:
    values = {"a": 2.0}
    assert expression.score(Select(minimize="a"), values) == -2.0
    assert expression.score(Select(maximize="a"), values) == 2.0


def test_the_example_of_every_component_is_accepted() -> None:
    for kind in ("methods", "corruptions", "models", "forget_sets", "metrics", "datasets"):
        choice = {**schema(), "$ref": f"#/definitions/{kind}"}
        for component in load(kind).values():
            if not required_settings(component.settings):
                written = read_text(example(component), component.name).data
                errors = list(
                    Draft7Validator(
                        {"definitions": choice["definitions"], "$ref": choice["$ref"]}
                    ).iter_errors(written)
                )
                assert not errors, (component.name, errors[0].message)


def test_the_spec_that_new_writes_runs_through_validate(cli: Cli, tmp_path: Path) -> None:
    assert cli("new", "My Spec.yaml").returncode == 0
    assert "id: my-spec" in new_spec(Path("My Spec.yaml"))
    done = cli("validate", "My Spec.yaml")
    assert done.returncode == 0, done.stderr
    assert cli("new", "My Spec.yaml").returncode == 2


def test_every_spec_in_the_repository_is_valid(cli: Cli) -> None:
    done = cli("validate", ROOT / "specs")
    assert done.returncode == 0, done.stderr


def changed(folder: Path, old: str, new: str) -> Path:
    file = folder / "changed.yaml"
    assert old in TINY
    file.write_text(TINY.replace(old, new))
    return file


def test_null_in_a_profile_takes_a_method_away_and_later_places_follow(tmp_path: Path) -> None:
    file = changed(tmp_path, "profiles:\n", "profiles:\n  less: {methods.retrain: null}\n")
    assert [m.label for m in load_spec(file, "less").methods] == ["none", "ssd"]
    wrong = changed(
        tmp_path, "profiles:\n",
        "profiles:\n  less: {methods.retrain: null, metrics: [clean_accuracy]}\n",
    )  # fmt: skip
    with pytest.raises(SpecError, match=r"changed.yaml:18:\d+: methods\[1\].select.maximize"):
        load_spec(wrong, "less")


def test_null_in_a_profile_takes_a_key_away(tmp_path: Path) -> None:
    file = changed(tmp_path, "profiles:\n", "profiles:\n  less: {corruption.place: null}\n")
    assert load_spec(file, "less").corruption.settings.place == "bottom_right"


def test_null_takes_away_what_an_extended_spec_says(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(TINY)
    file = tmp_path / "more.yaml"
    file.write_text(
        "extends: base.yaml\nid: more\ncorruption: {place: null}\nprofiles: {smoke: null}\n"
    )
    spec = load_spec(file)
    assert spec.corruption.settings.place == "bottom_right"
    assert not spec.profiles


SWEPT = 'select: {maximize: "mean(unlearned_gain, -accuracy_drop)"}'


def test_a_candidate_can_be_fixed_in_advance(tmp_path: Path) -> None:
    spec = load_spec(changed(tmp_path, SWEPT, "select: {at: {alpha: 50}}"))
    assert spec.methods[-1].select is not None
    assert spec.methods[-1].select.at == {"alpha": 50}


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ("select: {at: {alpha: 7}}", r"7 is not among the candidates \(5.0, 50.0\)"),
        ("select: {at: {alfa: 5}}", r"'ssd' has no setting .alfa.; did you mean .alpha."),
        ("select: {at: {}}", "2 candidates fit; give a value for every swept setting"),
        ("select: {at: {alpha: 5}, maximize: clean_accuracy}", "exactly one of maximize, minimize"),
    ],
)
def test_a_candidate_that_cannot_be_fixed_is_named(tmp_path: Path, select: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        load_spec(changed(tmp_path, SWEPT, select))
