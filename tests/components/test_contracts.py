"""A component's declaration is checked when it is registered, not when a spec meets it."""

from __future__ import annotations

import pytest

from harness.components import component, get
from harness.components.catalogue import KINDS, load
from harness.components.contracts import TRAITS
from harness.errors import HarnessError


def registered(kind: str, **traits: object) -> None:
    """Register a function that does nothing; an error leaves the catalogue as it was."""
    component(kind, "never_registered", source="this test", **traits)


@pytest.mark.parametrize(
    ("kind", "traits", "message"),
    [
        ("methods", {"see": frozenset()}, "no trait 'see'; did you mean 'sees'?"),
        ("methods", {"prepare": lambda s: ()}, "no trait 'prepare'"),
        ("methods", {"starts": "scratsh"}, "'starts' must be in ('base', 'scratch')"),
        ("methods", {"sees": frozenset({"retian"})}, "must be in ('retain', 'forget'"),
        ("methods", {"sees": {"retain"}}, "'sees' must be <class 'frozenset'>"),
        ("metrics", {"better": "higher"}, "missing 1 required keyword-only argument: 'outputs'"),
        ("metrics", {"outputs": ("a",)}, "'outputs' must be callable"),
        ("metrics", {"outputs": tuple, "over": "models"}, "'over' must be in"),
        ("corruptions", {"acts_on": frozenset({"image"})}, "must be in ('features', 'images'"),
        ("datasets", {}, "'facts'"),
        ("optimisers", {}, "no kind 'optimisers'; did you mean 'optimizers'?"),
    ],
)
def test_a_trait_that_means_nothing_is_refused_with_what_there_is(
    kind: str, traits: dict[str, object], message: str
) -> None:
    with pytest.raises(HarnessError) as refused:
        registered(kind, **traits)
    assert message in str(refused.value)
    assert "never_registered" in str(refused.value)


def test_every_kind_has_a_contract_and_every_component_is_of_its_own() -> None:
    assert set(TRAITS) == set(KINDS)
    for kind in KINDS:
        for known in load(kind).values():
            assert type(known.traits) is TRAITS[kind], known.name


def test_what_a_metric_needs_may_be_a_set_or_depend_on_its_settings() -> None:
    distance = get("metrics", "retrain_distance")
    assert distance.traits.needs(None) == {"reference"}
    drop = get("metrics", "accuracy_drop")
    assert drop.traits.needs(drop.settings(split="validation")) == {"validation"}
    assert drop.traits.needs(drop.settings()) == frozenset()
