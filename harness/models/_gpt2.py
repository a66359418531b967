"""The modules of ``gpt2``. Imported inside the function that builds it."""

from __future__ import annotations

import torch
from torch import nn
from transformers import GPT2Model
from transformers.pytorch_utils import Conv1D

from harness.data.encodings import TokenBatch
from harness.errors import HarnessError


class Embedding(nn.Module):
    """Vectors of tokens, plus the batch's ``shift``, plus those of their positions; dropout."""

    def __init__(self, tokens: nn.Module, positions: nn.Module, dropout: nn.Module) -> None:
        super().__init__()
        self.tokens, self.positions, self.dropout = tokens, positions, dropout

    def forward(self, batch: TokenBatch) -> torch.Tensor:
        vectors: torch.Tensor = self.tokens(batch.ids)
        if batch.shift is not None:
            if batch.shift.shape != vectors.shape:
                found, needed = (list(x.shape[1:]) for x in (batch.shift, vectors))
                raise HarnessError(
                    f"what is added to the embeddings of a text is {found}; they are {needed} "
                    "(tokens, width of the model)"
                )
            vectors = vectors + batch.shift
        places = torch.arange(vectors.shape[1], device=vectors.device)
        shown: torch.Tensor = self.dropout(vectors + self.positions(places))
        return shown


class Classifier(nn.Module):
    """GPT-2's blocks in a row, and a linear head on the last token that is there.

    Padding stands at the end, so that no token of a text attends to it.
    """

    def __init__(self, gpt: GPT2Model, classes: int) -> None:
        super().__init__()
        for module in gpt.h.modules():
            for name, layer in list(module.named_children()):
                if isinstance(layer, Conv1D):
                    setattr(module, name, _linear(layer))
        self.embedding = Embedding(gpt.wte, gpt.wpe, gpt.drop)
        self.blocks = nn.Sequential(*gpt.h)
        self.norm = gpt.ln_f
        self.head = nn.Linear(gpt.config.n_embd, classes, bias=False)
        nn.init.normal_(self.head.weight, std=gpt.config.initializer_range)

    def forward(self, batch: TokenBatch) -> torch.Tensor:
        shown = self.blocks(self.embedding(batch))
        last = (batch.mask.sum(1) - 1).clamp(min=0)
        logits: torch.Tensor = self.head(self.norm(shown[torch.arange(len(last)), last]))
        return logits


def _linear(layer: Conv1D) -> nn.Linear:
    """The same map as the layer that methods, which know torch's, look for."""
    inputs, outputs = layer.weight.shape
    same = nn.Linear(inputs, outputs, device="meta")
    same.weight = nn.Parameter(layer.weight.detach().t().contiguous())
    same.bias = layer.bias
    return same
