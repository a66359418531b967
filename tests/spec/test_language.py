"""The language: schema, round trip, extends, profiles, overrides, select."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from conftest import ROOT, TINY, Cli
from harness.commands.describe import example
from harness.commands.new import new_spec
from harness.components import get, load
from harness.spec import expression
from harness.spec.blocks import Select
from harness.spec.load import load_spec
from harness.spec.measures import needs_of
from harness.spec.places import SpecError
from harness.spec.reader import read_file, read_text
from harness.spec.schema import schema, schema_text
from harness.spec.structure import structure, structure_use, unstructure


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


@settings(max_examples=60)
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


def extending(folder: Path, text: str, base: str = TINY) -> Path:
    """A file that extends ``base`` and says ``text``."""
    (folder / "base.yaml").write_text(base)
    file = folder / "own.yaml"
    file.write_text(f"extends: base.yaml\nid: own\n{text}")
    return file


def test_append_adds_methods_to_those_of_the_extended_spec(tmp_path: Path) -> None:
    file = extending(tmp_path, "methods: {append: [{name: ssd, label: own, alpha: 3}]}\n")
    spec = load_spec(file)
    assert [m.label for m in spec.methods] == ["none", "retrain", "ssd", "own"]
    assert unstructure(spec)["methods"][-1]["alpha"] == 3
    file.write_text(file.read_text().replace("alpha: 3", "alfa: 3"))
    with pytest.raises(SpecError, match=r"own.yaml:3:\d+: methods\[3\].alfa: unknown key"):
        load_spec(file)


def test_append_adds_in_a_profile_and_on_the_command_line(tmp_path: Path) -> None:
    more = (
        "  more: {methods: {append: [{name: ssd, label: own, alpha: 3}]}, methods.own.alpha: 4}\n"
    )
    file = tmp_path / "spec.yaml"
    file.write_text(TINY + more)
    spec = load_spec(file, "more", ["methods={append: [random_labels]}"])
    assert [m.label for m in spec.methods[2:]] == ["ssd", "own", "random_labels"]
    assert spec.methods[3].use.settings.alpha == 4
    file.write_text(
        TINY + more.replace("label: own", "label: none").replace("own.alpha", "ssd.alpha")
    )
    with pytest.raises(SpecError, match=r"spec.yaml:22:\d+: methods\[3\]: in profile 'more': two"):
        load_spec(file)


CLAIMED = """\
claims:
  - {claim: order, metric: clean_accuracy, methods: [ssd, none], where: T1}
  - {claim: order, metric: clean_accuracy, methods: [retrain, none], where: T1}
figures:
  - {title: A, show: curves, x: discovered, y: clean_accuracy, methods: [none, retrain, ssd]}
  - {title: B, show: sweep, method: ssd, x: alpha, y: clean_accuracy}
"""


def test_what_is_over_methods_that_an_extending_spec_lacks_is_left_out_with_one_notice(
    cli: Cli, tmp_path: Path
) -> None:
    file = extending(tmp_path, "methods: [none, retrain]\n", TINY + CLAIMED)
    spec = load_spec(file, "smoke")
    assert [claim.methods for claim in spec.claims] == [("retrain", "none")]
    assert [figure.methods for figure in spec.figures] == [("none", "retrain")]
    notice = (
        "notice: methods of base.yaml do not run: ssd; "
        "claims, figures and overrides of profiles over them are left out"
    )
    for command in ("validate", "plan"):
        done = cli(command, file)
        assert done.returncode == 0, done.stderr
        assert (done.stdout + done.stderr).count(notice) == 1


def test_a_spec_that_takes_no_method_away_inherits_everything(tmp_path: Path) -> None:
    other = "  other: {figures.0.title: Of the profile}\n"
    head, profiles, rest = TINY.partition("profiles:")
    base = f"{head}{CLAIMED}{profiles}{rest}{other}"
    file = extending(tmp_path, "methods: {append: [random_labels]}\n", base)
    spec = load_spec(file, "other")
    assert (len(spec.claims), len(spec.figures)) == (2, 2)
    assert spec.figures[0].title == "Of the profile"
    file.write_text("extends: base.yaml\nid: own\n")
    assert load_spec(file, "other").figures[0].title == "Of the profile"


@pytest.mark.parametrize(
    ("base", "own", "words"),
    [
        ("", CLAIMED, "own.yaml:5:53: claims.0..methods: the method 'ssd' does not run"),
        (CLAIMED.replace("[ssd,", "[sdd,"), "", "claims.0..methods: the method 'sdd' does not run"),
    ],
)
def test_a_claim_about_a_method_that_never_ran_is_still_refused(
    base: str, own: str, words: str, tmp_path: Path
) -> None:
    file = extending(tmp_path, "methods: [none, retrain]\n" + own, TINY + base)
    with pytest.raises(SpecError, match=words):
        load_spec(file)


def test_a_method_is_added_by_name_by_mapping_and_by_file(cli: Cli, tiny: Path) -> None:
    (tiny.parent / "own.yaml").write_text("name: ssd\nlabel: third\nalpha: 3\n")
    mapping = "{name: ssd, label: second, alpha: 2}"
    added = [x for m in ("random_labels", mapping, "own.yaml") for x in ("--add-method", m)]
    done = cli("plan", tiny, *added, "--set", "methods.third.alpha=7", "--json")
    assert done.returncode == 0, done.stderr
    assert {"random_labels"} <= {
        n for stage in json.loads(done.stdout)["graph"] for n in stage["uses"]
    }
    assert "ok (tiny 1.0.0)" in cli("validate", tiny, *added).stdout
    (tiny.parent / "own.yaml").write_text("name: ssd\nalfa: 3\n")
    said = cli("validate", tiny, "--add-method", "own.yaml").stderr
    assert said.startswith("own.yaml:2:1: methods[3].alfa: unknown key 'alfa'")
    said = cli("validate", tiny, "--add-method", "randm_labels").stderr
    assert said.startswith("--add-method randm_labels:1:1: methods[3]: unknown component")


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


PLACES = {
    "datasets": ("data", "dataset"), "corruptions": ("corruption",), "models": ("model",),
    "forget_sets": ("forget",), "optimizers": ("train", "optimizer"),
    "schedules": ("train", "schedule"),
}  # fmt: skip
# faces and cifar10_kit have a validation split; features: those of digits
DATA = ("digits", "cifar10", "faces", "cifar10_kit", "features")
LISTS = {"augmentations": ("data", "augment"), "methods": ("methods",), "metrics": ("metrics",)}


@pytest.mark.parametrize("kind", [*PLACES, *LISTS])
def test_the_example_of_every_component_is_one_of_a_valid_spec(kind: str, tmp_path: Path) -> None:
    for found in load(kind).values():
        shown = read_text(example(found), found.name).data
        errors = [_problem_of(kind, shown, data, tmp_path) for data in DATA]
        if found.name in ("imdb", "text_files", "text_trigger", "gpt2", "toy"):  # no images
            errors = [None if Draft7Validator(_choice(kind)).is_valid(shown) else "wrong"]
        assert None in errors, (found.name, errors)


def _choice(kind: str) -> dict:
    return {"definitions": schema()["definitions"], "$ref": f"#/definitions/{kind}"}


def _problem_of(kind: str, shown: object, data: str, folder: Path) -> str | None:
    """What is wrong with a spec over ``data`` in which the example stands."""
    plain = yaml.safe_load(TINY)
    del plain["profiles"]
    plain["methods"] = ["none", "retrain"]
    plain["data"] = {"dataset": data, "validation": 0.1 if data in DATA[:2] else 0.0}
    if kind == "corruptions":
        plain["metrics"], plain["forget"] = ["clean_accuracy"], "random"
    if kind == "metrics":
        needs = needs_of(structure_use(kind, shown))
        if left := {need.removeprefix("left:") for need in needs if ":" in need}:
            leaving = next(c for c in load("corruptions").values() if left <= c.traits.leaves)
            plain["corruption"] = read_text(example(leaving), leaving.name).data
    if data == "cifar10":
        plain["model"] = "resnet9"
    if kind == "models" and data == "features":
        named = shown if isinstance(shown, dict) else {"name": shown}
        backbone = get(kind, named["name"]).traits.gives is not None
        plain["data"] = {
            "dataset": "cifar10",
            "features": shown if backbone else "random_projection",
        }
        plain["corruption"], plain["forget"], plain["metrics"] = "none", "class", ["cost"]
        if backbone:
            plain["model"] = "linear"
            return _loaded(plain, folder)
    *way, last = PLACES.get(kind) or LISTS[kind]
    block = plain[way[0]] if way else plain
    block[last] = shown if kind in PLACES else [shown]
    return _loaded(plain, folder)


def _loaded(plain: dict, folder: Path) -> str | None:
    file = folder / "example.yaml"
    file.write_text(yaml.safe_dump(plain))
    try:
        load_spec(file)
    except SpecError as error:
        return str(error)
    return None


def test_the_spec_that_new_writes_runs_through_validate(cli: Cli, tmp_path: Path) -> None:
    assert cli("new", "My Spec.yaml").returncode == 0
    assert "id: my-spec" in new_spec(Path("My Spec.yaml"))
    done = cli("validate", "My Spec.yaml")
    assert done.returncode == 0, done.stderr
    assert cli("new", "My Spec.yaml").returncode == 2


@pytest.mark.parametrize(
    ("file", "spec_id"),
    [
        ("specs/my-paper/cifar10.yaml", "my-paper-cifar10"),
        ("specs/quick.yaml", "quick"),
        ("elsewhere/Müller_2.yaml", "muller-2"),
        ("123.yaml", "123"),
        ("true.yaml", "true"),
        ("日本.yaml", "my-spec"),
    ],
)
def test_new_gives_the_guide_s_id_and_no_schema_that_is_not_there(
    file: str, spec_id: str, cli: Cli, tmp_path: Path
) -> None:
    assert cli("new", file).returncode == 0
    assert load_spec(tmp_path / file).id == spec_id
    assert not (tmp_path / file).read_text().startswith("# yaml-language-server")
    assert not list(Draft7Validator(schema()).iter_errors(read_file(tmp_path / file).data))


def test_new_names_the_schema_of_the_specs_around_it(cli: Cli, tmp_path: Path) -> None:
    assert cli("schema", "--write", "specs/schema/v1.json").returncode == 0
    for file, path in (("specs/a/b.yaml", "../schema/v1.json"), ("c.yaml", "specs/schema/v1.json")):
        assert cli("new", file).returncode == 0
        first = (tmp_path / file).read_text().splitlines()[0]
        assert first == f"# yaml-language-server: $schema={path}"


COMMITTED = [
    file.relative_to(ROOT) for file in (ROOT / "specs").rglob("*.yaml") if "claims" not in file.name
]


@pytest.mark.parametrize("file", COMMITTED, ids=str)
def test_every_spec_in_the_repository_is_green_in_an_editor(file: Path) -> None:
    committed = json.loads((ROOT / "specs" / "schema" / "v1.json").read_text())
    found = read_file(ROOT / file).data
    assert not [error.message for error in Draft7Validator(committed).iter_errors(found)]


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("methods: {append: [ssd, {name: ssd, label: more, alpha: 3}]}", True),
        ("corruption: {place: null}\nmodel: {width: 8}\nprofiles: {smoke: null}", True),
        ("train: {steps: 3, epochs: null}\npaper: {venue: DMLR}\nclaims: {append: []}", True),
        ("methods: {append: [{name: ssd, alfa: 3}]}", False),
        ("methods: {apend: [ssd]}", False),
        ("train: {stepz: 3}", False),
        ("trane: {steps: 3}", False),
        ("model: {name: mlp, depht: 3}", False),
    ],
)
def test_the_schema_knows_what_a_spec_that_extends_another_may_say(text: str, fine: bool) -> None:
    plain = yaml.safe_load(f"extends: base.yaml\nid: own\n{text}")
    assert Draft7Validator(schema()).is_valid(plain) == fine


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
