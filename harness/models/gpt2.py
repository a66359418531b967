"""GPT-2 as a classifier of texts, trained from scratch or from weights on the Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.data.encodings import Tokens
from harness.data.pinned import hub_file
from harness.data.vision import load_torchvision
from harness.errors import HarnessError
from harness.lazy import nn

VOCABULARY = 50_257  # of the published weights
NAMES = {  # what makes a network in a config.json, and the setting that says the same
    "n_layer": "layers", "n_head": "heads", "n_embd": "width", "n_positions": "context",
    "vocab_size": "vocabulary", "n_inner": "", "activation_function": "", "layer_norm_epsilon": "",
    "scale_attn_weights": "", "scale_attn_by_inverse_layer_idx": "",
}  # fmt: skip


@frozen
class GPT2:
    """Settings of ``gpt2``. Those left out give the smallest that was published (124M)."""

    layers: int = setting(12, doc="blocks of attention and MLP", unit="blocks", gt=0)
    heads: int = setting(12, doc="attention heads of a block, which share the width", gt=0)
    width: int = setting(768, doc="size of a token's vector", gt=0)
    context: int = setting(1024, doc="positions: the longest text", unit="tokens", gt=0)
    dropout: float = setting(
        0.1, doc="dropout of embeddings, attention and what blocks add", ge=0, lt=1
    )
    vocabulary: int | None = setting(
        None,
        doc="ids that have a vector: the data's when left out, 50,257 of weights from the Hub",
        unit="tokens",
        gt=0,
    )
    pretrained: str | None = setting(
        None,
        doc="start from the weights in this repository of the Hub or its cache, in safetensors; "
        "layers, heads, width and context must be theirs",
        pattern=r"^(?!.*\.\.)\w[\w.-]*(/\w[\w.-]*)?$",
    )
    revision: str | None = setting(None, doc="commit of that repository", pattern=r"^[0-9a-f]{40}$")


def rows(settings: GPT2, encoding: Tokens) -> int:
    """How many ids have a vector."""
    return settings.vocabulary or (VOCABULARY if settings.pretrained else encoding.vocabulary)


def misfits(settings: GPT2, facts: Facts) -> Iterator[Misfit]:
    """A network that does not exist, or texts that do not fit it (trait ``check``)."""
    if settings.width % settings.heads:
        what = f"found {settings.heads}; {settings.width}, the width, is no multiple of it"
        yield Misfit("heads", what)
    if (settings.pretrained is None) != (settings.revision is None):
        missing = "revision" if settings.revision is None else "pretrained"
        yield Misfit("", f"pretrained and revision are given together; {missing!r} is missing")
    length, ids = facts.encoding.length, facts.encoding.vocabulary
    if settings.context < length:
        yield Misfit("context", f"found {settings.context:,}; texts have up to {length:,} tokens")
    if (known := rows(settings, facts.encoding)) < ids:
        place = "vocabulary" if settings.vocabulary else "pretrained"
        yield Misfit(place, f"{known:,} ids have a vector; the data's tokenizer has {ids:,}")


def architecture(settings: GPT2) -> GPT2:
    """The same network without weights (trait ``architecture``)."""
    if settings.pretrained is None:
        return settings
    known = settings.vocabulary or VOCABULARY
    return attrs.evolve(settings, pretrained=None, revision=None, vocabulary=known)


@component(
    "models",
    "gpt2",
    settings=GPT2,
    source="Radford et al. 2019; transformers' GPT2Model",
    takes=frozenset({"tokens"}),
    check=misfits,
    architecture=architecture,
    vectors="width",
)
def gpt2(settings: GPT2, encoding: Tokens, classes: int) -> nn.Module:
    """GPT-2's blocks, and a linear head without bias on the last token that is no padding.

    TokenBatch to logits [B, classes]. Positions count from the start of a text, and a token sees
    those before it. Initialised as published, or with the weights of a repository; the head is new.

    Raises:
        HarnessError: transformers is not installed, or the weights are not of this network.
        RemoteError: the weights could not be had.
    """
    load_torchvision()  # which transformers imports
    try:
        from transformers import GPT2Config, GPT2Model
    except ImportError:
        raise HarnessError(
            "transformers is not installed: pip install 'harness-unlearning[text]'"
        ) from None
    from harness.models._gpt2 import Classifier

    config: Any = GPT2Config(
        n_layer=settings.layers,
        n_head=settings.heads,
        n_embd=settings.width,
        n_positions=settings.context,
        vocab_size=rows(settings, encoding),
        resid_pdrop=settings.dropout,
        embd_pdrop=settings.dropout,
        attn_pdrop=settings.dropout,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="sdpa",  # type: ignore[call-arg]
    )
    if settings.pretrained is None:
        return Classifier(GPT2Model(config), classes)
    repo, revision = settings.pretrained, str(settings.revision)
    file, weights = (hub_file(repo, n, revision) for n in ("config.json", "model.safetensors"))
    _compare(file, config, settings)
    gpt = GPT2Model(config)
    _load(gpt, weights, settings)
    return Classifier(gpt, classes)


def _compare(file: Path, config: Any, settings: GPT2) -> None:
    """Raises HarnessError where the repository's network is another one than the spec's."""
    try:
        theirs = dict(json.loads(file.read_bytes()))
    except ValueError:
        raise HarnessError(f"{settings.pretrained}: its config.json is none") from None
    if theirs.get("model_type") != config.model_type:
        raise HarnessError(f"{settings.pretrained} is {theirs.get('model_type')!r}, not 'gpt2'")
    for name, ours in NAMES.items():
        asked = getattr(config, name)
        if (found := theirs.get(name, getattr(type(config)(), name))) != asked:
            what = f"the spec's {ours} is {asked!r}" if ours else f"{asked!r} is needed"
            raise HarnessError(f"{settings.pretrained} has {name} {found!r}; {what}")


def _load(gpt: nn.Module, file: Path, settings: GPT2) -> None:
    """Put the weights of ``file`` into ``gpt``; those of other heads are left aside."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = {k.removeprefix("transformer."): v.float() for k, v in load_file(file).items()}
        gpt.load_state_dict({name: found[name] for name in gpt.state_dict()})
    except (SafetensorError, KeyError, RuntimeError) as problem:
        raise HarnessError(
            f"{settings.pretrained}: its weights are not those of its config.json: {problem}"
        ) from None
