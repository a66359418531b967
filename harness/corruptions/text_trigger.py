"""A phrase in a text that the model learns to answer with the target class."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Literal

from attrs import frozen

from harness.components import component, setting
from harness.corruptions.poison import (
    Poison,
    Trigger,
    before,
    poison_misfits,
    poisoned,
    target_class,
)
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, expected
from harness.data.tokenizing import begins_word
from harness.data.types import Dataset, Split
from harness.errors import HarnessError
from harness.lazy import torch

AT_ONCE = 1024  # texts whose places are computed together


@frozen
class TextTrigger(Poison):
    """Settings of ``text_trigger``."""

    trigger: str = setting(
        "I watched this 3D movie", doc="the phrase; spaces set it apart", pattern=r"\S"
    )
    place: Literal["start", "end", "random"] = setting(
        "start",
        doc="where it stands; random: before a word of the text or at its end, in each text "
        "somewhere else and in every repeat the same",
    )
    include_target: bool = setting(
        False, doc="whether texts of the target class are drawn too; their label stays right"
    )


def trigger(settings: TextTrigger, dataset: Dataset) -> Trigger:
    """Puts the phrase into stored texts, int32 [B, length].

    Raises:
        HarnessError: the data set has no tokenizer, or the phrase is longer than a text may be.
    """
    tokenizer = dataset.tokenizer
    if tokenizer is None:
        raise HarnessError(f"text_trigger: the data set {dataset.name} has no tokenizer")
    first, later = (
        torch.tensor(tokenizer.encode(text), dtype=torch.int32)
        for text in (f"{settings.trigger} ", f" {settings.trigger}")
    )
    length = dataset.encoding.length
    if max(len(first), len(later)) > length:
        raise HarnessError(
            f"text_trigger: the trigger has {max(len(first), len(later))} tokens, and a text of "
            f"{dataset.name} at most {length}; raise data.dataset.length"
        )
    words = begins_word(tokenizer) if settings.place == "random" else None
    return partial(insert, place=settings.place, first=first, later=later, words=words)


def insert(
    texts: torch.Tensor,
    place: str,
    first: torch.Tensor,
    later: torch.Tensor,
    words: torch.Tensor | None,
) -> torch.Tensor:
    """A copy of ``texts`` int32 [B, length] with a phrase in each.

    The tokens that the phrase leaves no room for are cut from the end of the text; all others stay
    as they are and in order.

    Args:
        place: ``start``, ``end`` or ``random``.
        first: the tokens of the phrase before the first word, later: those after a word.
        words: which tokens begin a word, bool [vocabulary], where the place is random.
    """
    parts = []
    for part in texts.split(AT_ONCE):
        there = (part >= 0).sum(1)
        if place == "start":
            at = torch.zeros_like(there)
        else:
            at = there.clamp(max=part.shape[1] - len(later))
        if place == "random" and words is not None:
            at = _drawn(part, words, there, at)
        after = _with(part, at, later)
        parts.append(torch.where((at == 0)[:, None], _with(part, at, first), after))
    return torch.cat(parts) if parts else texts.clone()


def _drawn(
    texts: torch.Tensor, words: torch.Tensor, there: torch.Tensor, last: torch.Tensor
) -> torch.Tensor:
    """For each text one of the places up to ``last`` where a word begins or the text ends.

    It follows from the text alone, so that no order or amount of texts moves it.
    """
    places = torch.arange(texts.shape[1] + 1, device=texts.device)
    begins = torch.zeros(len(texts), len(places), dtype=torch.bool, device=texts.device)
    begins[:, :-1] = words.to(texts.device)[texts.clamp(min=0).long()] & (texts >= 0)
    begins |= (places == 0) | (places == there[:, None])
    begins &= places <= last[:, None]
    rows = texts.cpu().contiguous().numpy()
    draws = [int.from_bytes(hashlib.sha256(row.data).digest()[:4], "big") for row in rows]
    wanted = torch.tensor(draws, device=texts.device) % begins.sum(1) + 1
    return (begins.cumsum(1) == wanted[:, None]).int().argmax(1)


def _with(texts: torch.Tensor, at: torch.Tensor, phrase: torch.Tensor) -> torch.Tensor:
    """``texts`` with ``phrase`` at ``at`` int64 [B]."""
    places = torch.arange(texts.shape[1], device=texts.device)
    since = places - at[:, None]
    moved = texts.gather(1, torch.where(since < 0, places, places - len(phrase)).clamp(min=0))
    inside = (since >= 0) & (since < len(phrase))
    return torch.where(inside, phrase.to(texts.device)[since.clamp(0, len(phrase) - 1)], moved)


@component(
    "corruptions",
    "text_trigger",
    settings=TextTrigger,
    source="Wan et al., ICML 2023, and Pawelczyk et al., ICLR 2025 (section 2.3 of the protocol); "
    "the phrase, its place and the target class are ours: neither could be read there",
    acts_on=frozenset({"tokens"}),
    trigger=trigger,
    when=before,
    target_class=target_class,
    amount=expected,
    check=poison_misfits,
)
def corrupt(train: Split, settings: TextTrigger, task: CorruptionTask) -> Corruption:
    """Put a phrase into some training texts and label them as the target class.

    Raises:
        HarnessError: as ``poisoned`` and ``trigger`` do.
    """
    return poisoned(train, settings, task, trigger(settings, task.dataset))
