"""The simplest way to suppress a class: its logit is never the largest."""

from __future__ import annotations

from harness.components import NoSettings, component
from harness.errors import HarnessError
from harness.lazy import nn, torch
from harness.methods.task import Task

LOW = -1e4  # far below every logit, and a number that every arithmetic holds


@component(
    "methods",
    "drop_logit",
    source="a control that reviews of arXiv 2311.15268 ask for",
    sees=frozenset({"forget", "original weights"}),
)
def drop_logit(model: nn.Module, task: Task, settings: NoSettings) -> nn.Module:
    """Give every class of the forget set a logit of -10,000 through the weights of the last layer.

    A linear layer: weights 0 and a bias of -10,000; a table of values: all values of the class.

    Raises:
        HarnessError: the forget set has every class, or no last layer gives one logit a class.
    """
    classes = task.forget.targets.unique().to(torch.int64)
    if len(classes) == task.classes:
        raise HarnessError("drop_logit: the forget set has every class, so none would be left")
    kinds = nn.Linear | nn.EmbeddingBag
    layers = [module for module in model.modules() if isinstance(module, kinds)]
    last = layers[-1] if layers else None
    with torch.no_grad():
        if isinstance(last, nn.EmbeddingBag) and last.embedding_dim == task.classes:
            last.weight[:, classes] = LOW
        elif (
            isinstance(last, nn.Linear) and last.bias is not None and len(last.bias) == task.classes
        ):
            last.weight[classes], last.bias[classes] = 0, LOW
        else:
            raise HarnessError(
                f"drop_logit needs a last layer, linear with biases, that gives {task.classes} "
                f"logits; {type(model).__name__} ends with {last}"
            )
    return model
