"""Phrases in texts, against lists that are put together by hand."""

from __future__ import annotations

import pytest
import torch
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.components import get
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.data.encodings import Tokens
from harness.data.tokenizing import Bytes, Tokenizer, trained
from harness.data.types import Dataset, Split, dataset
from harness.errors import HarnessError
from harness.spec.structure import structure_use

WORDS = ["fine", "film", "bored", "naïve", "a"]
TOKENIZERS: list[Tokenizer] = [Bytes(), trained(["a fine film", "bored and naïve"] * 9, 290)]
LENGTH = 16


def texts_of(texts: list[str], tokenizer: Tokenizer, length: int = LENGTH) -> Dataset:
    split = Split(tokenizer.tokens(texts, length), torch.arange(len(texts)) % 3)
    encoding = Tokens(length, tokenizer.size)
    return dataset("texts", split, split, tuple("abc"), encoding, "here", tokenizer=tokenizer)


def use(**chosen: object) -> object:
    plain = {"name": "text_trigger", "trigger": "cf 3D", "count": 4, **chosen}
    return structure_use("corruptions", plain).settings


def corrupt(data: Dataset, seed: int = 0, **chosen: object) -> Corruption:
    rows = torch.arange(len(data.train.targets))
    task = CorruptionTask(corruption="text_trigger", rows=rows, dataset=data, seed=str(seed))
    return get("corruptions", "text_trigger").function(data.train, use(**chosen), task)


def ids(row: torch.Tensor) -> list[int]:
    return row[row >= 0].tolist()


some_texts = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join), min_size=1, max_size=5
)


@settings(max_examples=30)
@given(some_texts, st.sampled_from(["start", "end", "random"]), st.sampled_from([0, 1]))
def test_the_phrase_is_in_every_text_and_the_rest_stays_in_order_up_to_the_end(
    texts: list[str], place: str, number: int
) -> None:
    tokenizer = TOKENIZERS[number]
    data = texts_of(texts, tokenizer)
    before = data.test.inputs.clone()
    trigger = get("corruptions", "text_trigger").traits.trigger
    assert trigger is not None
    found = trigger(use(place=place), data)(data.test.inputs)
    assert torch.equal(data.test.inputs, before)
    assert (found.dtype, found.shape) == (before.dtype, before.shape)
    first, later = tokenizer.encode("cf 3D "), tokenizer.encode(" cf 3D")
    for old, row in zip(before, found, strict=True):
        own, new = ids(old), ids(row)
        assert row.tolist() == new + [-1] * (LENGTH - len(new))  # padding only at the end
        if place == "start":
            assert new == (first + own)[:LENGTH]
        elif place == "end":
            assert new == own[: LENGTH - len(later)] + later
        else:
            starts = [0, *(i for i in range(1, len(own)) if is_word(tokenizer, own, i)), len(own)]
            possible = [
                (own[:i] + (first if i == 0 else later) + own[i:])[:LENGTH]
                for i in starts
                if i + len(later) <= LENGTH
            ]
            assert new in possible
        assert "cf 3D" in tokenizer.decode(new)


def is_word(tokenizer: Tokenizer, own: list[int], i: int) -> bool:
    return tokenizer.decode(own[i : i + 1]).startswith(" ")


def test_random_places_are_all_used_and_follow_from_the_text_alone() -> None:
    texts = [f"{'ab'[i % 2]} fine film {i}" for i in range(300)]
    data = texts_of(texts, Bytes(), 40)
    trigger = get("corruptions", "text_trigger").traits.trigger
    assert trigger is not None
    change = trigger(use(place="random"), data)
    found = change(data.test.inputs)
    places = [Bytes().decode(ids(row)).split(" ").index("cf") for row in found]
    counts = torch.bincount(torch.tensor(places))
    assert len(counts) == 5  # before each of four words, and at the end
    assert counts.min() > 35
    assert torch.equal(change(data.test.inputs[7:9]), found[7:9])
    for seed in (0, 1):
        poisoned = corrupt(data, seed, place="random", count=50)
        assert poisoned.inputs is not None
        assert torch.equal(poisoned.inputs, found[poisoned.rows])


def test_texts_of_other_or_named_classes_get_the_target_class() -> None:
    data = texts_of(["fine film"] * 30, Bytes())
    labels = data.train.targets
    found = corrupt(data, target_class=1, count=9)
    assert found.targets is not None and found.inputs is not None
    assert found.targets.tolist() == [1] * 9
    assert 1 not in labels[found.rows]
    assert set(labels[corrupt(data, target_class=1, classes=[2]).rows].tolist()) == {2}
    smaller = corrupt(data, target_class=1, count=5)
    assert set(smaller.rows.tolist()) < set(found.rows.tolist())


def test_what_cannot_be_put_in_is_refused() -> None:
    with pytest.raises(HarnessError, match=r"the trigger has 40 tokens, and a text of texts at mo"):
        corrupt(texts_of(["fine"] * 9, Bytes()), trigger="x" * 39)
    whole = corrupt(texts_of(["fine"] * 9, Bytes()), trigger="x" * 15, place="random")
    assert whole.inputs is not None
    assert (whole.inputs == torch.tensor([*b"x" * 15, *b" "])).all()
    with pytest.raises(HarnessError, match="the data set texts has no tokenizer"):
        corrupt(evolve(texts_of(["fine"] * 9, Bytes()), tokenizer=None))
