"""Sharpness-aware learnability (SAL): how much a small change of one layer can move the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from harness.components import component
from harness.data.pool import Batch, Pool
from harness.data.tasks import CLASS
from harness.errors import HarnessError
from harness.lazy import nn, torch
from harness.methods.task import Task
from harness.spec.requests import Trained
from harness.training.adversary import Adversary
from harness.training.seeding import seeded_layers
from harness.training.sharpness import Searches, Sharpness, fixed, layers_of

ALONG = "along"  # what the request for the snapshots is called
AT_ONCE = 256  # samples of one batch of the definition's search, which sums over batches
USUAL_LAYERS = 20  # for estimates: as a ResNet-18 has; the model is not known there

Search = Callable[["torch.Tensor", int], "torch.Tensor"]


def _along(settings: Sharpness) -> tuple[Trained, ...]:
    at = settings.snapshots if settings.at is None else settings.at
    return (Trained(ALONG, data="corrupted", snapshots=at),)


def _work(settings: Sharpness, count: int) -> tuple[float, float]:
    points = settings.snapshots if settings.at is None else len(settings.at)
    searches = 2 * USUAL_LAYERS * points
    backward = searches * settings.iterations * min(settings.samples or count, count)
    both = 2 if settings.reading == "official" else 1 + 1 / settings.iterations
    return both * backward, backward


@component(
    "preparations",
    "sharpness",
    settings=Sharpness,
    source="Ye et al. ICLR 2025 (arXiv 2509.08058), definition 1; its poison_train_sharp.py "
    "(protocol section 5.1)",
    requests=_along,
    work=_work,
)
def sharpness(
    model: nn.Module, task: Task, settings: Sharpness, pool: Pool
) -> dict[str, torch.Tensor]:
    """SAL of every layer at points of a training: the largest |L(W + V) - L(W)| over
    ||V|| <= radius ||W||, all other weights as they are.

    L is the mean cross-entropy of the samples, or the mean error of another ``task`` on them, in
    eval mode without augmentation. V is searched
    from 0 up and down the loss by ``iterations`` steps of step * radius * ||W|| along the
    normalised gradient, each projected into the ball, and the largest and smallest loss on the way
    count: s_max = max L - L(W) and s_min = L(W) - min L, of which SAL is the larger.

    The official reading searches by passes of plain SGD over augmented batches of the recipe's
    size, which are projected after each pass only, and takes L(W) from batches in train mode: from
    a pass of its own, where the code takes the running loss of the epoch. Of adversarial training
    that pass alone has the adversary's inputs, so that no layer's SAL is below what they add to the
    loss. There, too, no s is negative, and a loss that is no number counts as nothing.

    Returns for S points and K layers ``sal``, ``s_max``, ``s_min`` float32 [S, K], ``loss``
    float32 [S], which is L(W), ``steps`` int64 [S], ``parameters`` int64 [K], ``layers`` (their
    names, uint8 text, one a line), and ``passes`` int64 [S, 2]: samples forward and backward.

    Raises:
        HarnessError: the model has no such layer or task, or there are no samples.
    """
    assert task.answers is not None  # noqa: S101
    weights, layers = task.answers.snapshots(ALONG), layers_of(model)
    if not layers or not len(pool):
        raise HarnessError("sharpness: there is no convolution or linear layer, or no sample")
    if settings.task != CLASS:
        if settings.task not in getattr(model, "tasks", ()):
            raise HarnessError(f"sharpness: the model has no task {settings.task!r}")
        pool = pool.with_maps((settings.task,))
    model.requires_grad_(False)
    chosen, meter = fixed(pool, settings.samples), task.watch.meter
    searches = Searches(model, settings, meter)
    shape = (len(weights), len(layers))
    found = {name: torch.zeros(shape) for name in ("s_max", "s_min")}
    found |= {"loss": torch.zeros(shape[0]), "passes": torch.zeros(shape[0], 2, dtype=torch.int64)}
    done = 0
    if task.slot is not None and (saved := task.slot.load()) is not None:
        found, state = saved
        done = state["done"]
        meter.restore(state["meter"])
    for row, (step, values) in enumerate(weights.items()):
        if row < done:
            continue
        before = meter.forward_samples, meter.backward_samples
        model.load_state_dict(dict(values))
        loss, search = _of_snapshot(searches, task, chosen, step)
        found["loss"][row] = loss
        for column, weight in enumerate(layers.values()):
            for name, sign in (("s_max", 1), ("s_min", -1)):
                rise = sign * (search(weight, sign) - loss)
                if settings.reading == "official":
                    rise = rise[~rise.isnan()]
                found[name][row, column] = torch.cat([rise, rise.new_zeros(1)]).amax()
                at = (row * shape[1] + column) * 2 + (sign < 0) + 1
                task.watch.step(at, 2 * shape[0] * shape[1], None)
        after = meter.forward_samples, meter.backward_samples
        found["passes"][row] = torch.tensor(after) - torch.tensor(before)
        if task.slot is not None:
            task.slot.save(found, {"done": row + 1, "meter": meter.as_dict()})
    return {
        **found,
        "sal": torch.maximum(found["s_max"], found["s_min"]),
        "steps": torch.tensor(list(weights)),
        "parameters": torch.tensor([weight.numel() for weight in layers.values()]),
        "layers": torch.tensor(list("\n".join(layers).encode()), dtype=torch.uint8),
    }


def _of_snapshot(
    searches: Searches, task: Task, pool: Pool, step: int
) -> tuple[torch.Tensor, Search]:
    """L(W), and what gives the losses on the way from a weight up or down."""
    model = searches.model
    if searches.settings.reading == "definition":
        batches = list(pool.ordered(AT_ONCE))
        return searches.loss(batches), lambda weight, sign: searches.climb(weight, sign, batches)

    def passes(purpose: str) -> Callable[[], Iterable[Batch]]:
        """Augmented passes over the samples, the same whenever they begin anew."""
        draws = task.generator(f"sharpness {step} {purpose}")
        return lambda: pool.epoch(task.recipe.batch_size, draws)

    before = {name: value.clone() for name, value in model.state_dict().items()}
    given, use = passes("loss")(), task.recipe.adversary
    if use is not None:
        draws = task.generator(f"sharpness {step} adversary")
        given = _harder(searches, Adversary(use, pool.encoding, draws), given)
    model.train()
    with seeded_layers(task.generator(f"sharpness {step} layers").initial_seed(), task.device):
        loss = searches.loss(given)
    model.load_state_dict(before)  # without what batch normalisation saw
    model.eval()
    return loss, lambda weight, sign: searches.descend(weight, sign, passes("search"))


def _harder(searches: Searches, adversary: Adversary, batches: Iterable[Batch]) -> Iterator[Batch]:
    for number, batch in enumerate(batches):
        forward, backward = (int(times * len(batch.y)) for times in adversary.work)
        searches.meter.forward(forward)
        searches.meter.backward(backward)
        yield adversary(searches.model, batch, number)
