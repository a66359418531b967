"""A text set whose class is whether one word comes before another, and a tiny transformer."""

from __future__ import annotations

from attrs import frozen

from harness.components import Facts, NoSettings, component, setting
from harness.data.encodings import TokenBatch, Tokens
from harness.data.types import DataRoot, Dataset, Split, dataset
from harness.lazy import nn, torch

ENCODING = Tokens(length=10, vocabulary=12)
TRAIN, TEST = 240, 60


@component(
    "datasets",
    "throwaway_text",
    source="made by this test",
    facts=lambda settings: Facts(ENCODING, 2, train=TRAIN, test=TEST),
)
def text(settings: NoSettings, root: DataRoot) -> Dataset:
    """Sentences of 4 to 10 words, int32 [N, 10] with -1 at padding; class 1: word 2 occurs."""
    draws = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 12, (TRAIN + TEST, 10), generator=draws, dtype=torch.int32)
    targets = torch.randint(2, (TRAIN + TEST,), generator=draws)
    ids[targets == 1, 1] = 2
    lengths = torch.randint(4, 11, (TRAIN + TEST, 1), generator=draws)
    ids[torch.arange(10) >= lengths] = -1
    parts = [Split(ids[part], targets[part]) for part in (slice(TRAIN), slice(TRAIN, None))]
    return dataset("throwaway_text", parts[0], parts[1], ("without", "with"), ENCODING, "made")


@frozen
class Transformer:
    """Settings of ``throwaway_transformer``."""

    width: int = setting(16, doc="size of a word's vector", ge=4)


@component(
    "models",
    "throwaway_transformer",
    settings=Transformer,
    source="Vaswani et al. 2017, one layer",
    takes=frozenset({"tokens"}),
)
def transformer(settings: Transformer, encoding: Tokens, classes: int) -> nn.Module:
    """Embedding, one encoder layer, mean over the words, linear. TokenBatch to logits."""

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(encoding.vocabulary, settings.width)
            self.layer = nn.TransformerEncoderLayer(
                settings.width, 2, 2 * settings.width, dropout=0.0, batch_first=True
            )
            self.head = nn.Linear(settings.width, classes)

        def forward(self, batch: TokenBatch) -> torch.Tensor:
            words = self.words(batch.ids)
            words = words if batch.shift is None else words + batch.shift
            shown = self.layer(words, src_key_padding_mask=~batch.mask)
            weight = batch.mask.unsqueeze(2).float()
            return self.head((shown * weight).sum(1) / weight.sum(1))

    return Tiny()
