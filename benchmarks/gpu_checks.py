"""The checks of gpu.py: each measures one thing on a device and gives a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any

import attrs
import torch
from torch.nn import functional as F

from harness.components import get
from harness.data.pool import Pool
from harness.data.types import Dataset
from harness.plan.cost import flops_per_sample
from harness.spec.blocks import Spec, Train, Use
from harness.training.loop import fit
from harness.training.precision import arithmetic
from harness.training.replicas import Seat, take_turns
from harness.training.seeding import generator, seeded_build
from harness.training.threads import set_determinism
from harness.training.watch import Unwatched
from side_by_side import interleaved, middle

KINDS = {"bf16": torch.bfloat16, "fp16": torch.float16}  # of matrices; else fp32
PRECISIONS = ("fp32", "bf16", "fp16")
SAME_LOGITS = 1e-4  # of the largest logit: the same weights on two devices, without TF32
# Of the way that the weights went, without TF32; or twice what the CPU's own two memory layouts are
# apart: 0.6 % after a step, 12 % after five (ResNet-9 of width 16, batch 128), because rounding
# decides which of two nearly equal pixels a max-pool takes, and training enlarges that.
SAME_WAY = 1e-2
Weights = dict[str, torch.Tensor]


@attrs.frozen(eq=False)
class Case:
    """A recipe on a data set, and how much of it is measured."""

    spec: Spec
    data: Dataset
    device: torch.device
    steps: int  # of a training that is timed
    few: int  # of one that is compared between devices
    turns: int
    side: int  # of the matrices

    def pool(self, device: torch.device | None = None, channels_last: bool = True) -> Pool:
        return Pool(
            self.data.train, torch.arange(len(self.data.train.targets)),
            encoding=self.data.encoding, device=device or self.device,
            augment=self.spec.data.augment, channels_last=channels_last,
        )  # fmt: skip

    def model(
        self,
        device: torch.device | None = None,
        channels_last: bool = True,
        use: Use | None = None,
        key: str = "gpu",
    ) -> torch.nn.Module:
        use, classes = use or self.spec.model, len(self.data.classes)
        build = get("models", use.name).function
        model = seeded_build(lambda: build(use.settings, self.data.encoding, classes), key)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return model.to(device or self.device, memory_format=layout)

    def recipe(self, precision: str, steps: int | None = None) -> Train:
        return attrs.evolve(
            self.spec.train, precision=precision, steps=steps or self.steps, epochs=None
        )

    @property
    def flops(self) -> float:
        """Of a training that is timed."""
        sample = flops_per_sample(self.spec.model, self.data.encoding, len(self.data.classes))
        return 3.0 * sample * self.spec.train.batch_size * self.steps


def ours(model: torch.nn.Module, pool: Pool, recipe: Train, key: str = "gpu") -> list[float]:
    """The harness's training. Returns the losses that it kept."""
    return list(fit(model, pool, recipe, generator=lambda p: generator(key, p)).losses)


def plain(
    model: torch.nn.Module, pool: Pool, recipe: Train, fused: bool, one: bool = False
) -> None:
    """The same training by hand; with ``one``, on a single batch that is made beforehand."""
    use, device = recipe.optimizer.settings, pool.device.type
    optimizer = torch.optim.SGD(
        model.parameters(), lr=use.lr, momentum=use.momentum, weight_decay=use.weight_decay,
        fused=fused,
    )  # fmt: skip
    factor, named = get("schedules", recipe.schedule.name).function, recipe.schedule.settings
    epoch = -(-len(pool) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: factor(named, step, recipe.steps, epoch)
    )
    scaler = torch.amp.GradScaler(device, enabled=recipe.precision == "fp16")
    batches = pool.forever(recipe.batch_size, generator("gpu", "batches"))
    first = next(batches) if one else None
    model.train()
    for _ in range(recipe.steps or 0):
        batch = first or next(batches)
        with arithmetic(device, recipe.precision):
            loss = F.cross_entropy(model(batch.x).float(), batch.y)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        schedule.step()


def logits(model: torch.nn.Module, case: Case, device: torch.device) -> torch.Tensor:
    """Of the first 2,000 test samples, on the CPU."""
    count = min(2000, len(case.data.test.targets))
    pool = Pool(case.data.test, torch.arange(count), encoding=case.data.encoding, device=device)
    with torch.inference_mode():
        return torch.cat([model.eval()(batch.x).float().cpu() for batch in pool.ordered()])


def weights(model: torch.nn.Module) -> Weights:
    """On the CPU, apart from the model."""
    return {name: value.detach().cpu().clone() for name, value in model.named_parameters()}


def apart(a: Weights, b: Weights, start: Weights) -> float:
    """The distance of ``a`` and ``b`` as a share of the way from ``start`` to ``a``."""

    def length(x: Weights, y: Weights) -> float:
        return sum(float((x[n].double() - y[n].double()).square().sum()) for n in x) ** 0.5

    return length(a, b) / length(a, start)


def same(a: Weights, b: Weights) -> str:
    return "yes" if all(torch.equal(a[name], b[name]) for name in a) else "no"


def synchronised(device: torch.device) -> float:
    """The time after everything that was handed to ``device`` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """How long ``run`` takes until its last kernel has ended."""
    begun = synchronised(device)
    run()
    return synchronised(device) - begun


@contextmanager
def kernels(bitwise: bool, tf32: bool = True) -> Iterator[None]:
    """Deterministic or fast kernels; convolutions of fp32 in TF32, torch's default, or in full."""
    before = torch.backends.cudnn.allow_tf32
    set_determinism(bitwise)
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
        set_determinism(False)


def product_peak(case: Case, precision: str) -> float:
    """FLOP/s of a product of two square matrices: median of 20 after a warm-up."""
    shape, kind = (case.side, case.side), KINDS.get(precision, torch.float32)
    a, b = (torch.randn(shape, device=case.device).to(kind) for _ in range(2))
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        for _ in range(3):
            a @ b
        return 2 * case.side**3 / median(seconds(lambda: a @ b, case.device) for _ in range(20))
    finally:
        torch.set_float32_matmul_precision("highest")


def milliseconds(taken: float, case: Case) -> str:
    return f"{1e3 * taken / case.steps:.2f}"


@attrs.frozen
class Table:
    title: str
    headers: list[str]
    rows: list[list[Any]]
    note: str = ""


def parity(case: Case) -> Table:
    """The same steps and the same evaluation on CPU and device."""
    cpu, rows, allowed = torch.device("cpu"), [], []
    lengths, start = (1, case.few), weights(case.model(cpu))

    def trained(device: torch.device, last: bool) -> list[torch.nn.Module]:
        pool, models = case.pool(device, last), [case.model(device, last) for _ in lengths]
        for steps, model in zip(lengths, models, strict=True):
            ours(model, pool, case.recipe("fp32", steps))
        return models

    reference = trained(cpu, last=False)
    expected, ended = logits(reference[-1], case, cpu), [weights(model) for model in reference]
    for name, device, last, tf32 in (
        ("cpu, channels-last", cpu, True, False),
        (f"{case.device.type}", case.device, False, False),
        (f"{case.device.type}, channels-last", case.device, True, False),
        (f"{case.device.type}, channels-last, TF32", case.device, True, True),
    ):
        with kernels(bitwise=True, tf32=tf32):
            moved = case.model(device, last)
            moved.load_state_dict(reference[-1].state_dict())
            found, models = logits(moved, case, device), trained(device, last)
        off = float((found - expected).abs().max() / expected.abs().max())
        ways = [apart(a, weights(b), start) for a, b in zip(ended, models, strict=True)]
        allowed = allowed or [max(SAME_WAY, 2 * way) for way in ways]
        agreeing = float((found.argmax(1) == expected.argmax(1)).float().mean())
        near = all(way <= most for way, most in zip(ways, allowed, strict=True))
        rows.append([name, f"{off:.1e}", f"{agreeing:.4f}", *(f"{way:.1e}" for way in ways),
                     "yes" if off <= SAME_LOGITS and near else "no"])  # fmt: skip
    return Table(
        f"Against the CPU, in fp32: an evaluation, and {case.few} steps from the same weights",
        ["what", "logits off", "same class", "apart after a step", f"after {case.few}", "agrees"],
        rows,
        f"Logits off: largest difference over the largest logit, of the same weights; at most "
        f"{SAME_LOGITS:g} agrees. Apart: distance of the weights over the way that they went; at "
        f"most {allowed[0]:.1e} and {allowed[1]:.1e} agree: {SAME_WAY:g}, or twice what the CPU's "
        "own two memory layouts are apart. TF32 rounds more: its row is there to be read.",
    )  # fmt: skip


def repeats(case: Case) -> Table:
    """The same training twice on the device."""
    rows, start, pool = [], weights(case.model()), case.pool()
    for precision in PRECISIONS:
        for bitwise in (True, False):
            ends = []
            with kernels(bitwise):
                for _ in range(2):
                    model = case.model()
                    ours(model, pool, case.recipe(precision))
                    ends.append(weights(model))
            mode = "bitwise" if bitwise else "statistical"
            rows.append([precision, mode, same(*ends), f"{apart(*ends, start):.1e}"])
    headers = ["precision", "determinism", "equal bits", "weights apart"]
    return Table(f"The same {case.steps} steps twice", headers, rows)


def layouts(case: Case) -> Table:
    """Channels-last against contiguous images and weights."""
    rows = []
    for precision in PRECISIONS:
        pools = {last: case.pool(channels_last=last) for last in (False, True)}

        def run(last: bool, pools: Any = pools, precision: str = precision) -> None:
            ours(case.model(channels_last=last), pools[last], case.recipe(precision))
            synchronised(case.device)

        with kernels(bitwise=False):
            taken = interleaved({str(k): lambda k=k: run(k) for k in pools}, case.turns)
        slow, fast = (median(taken[str(last)]) for last in pools)
        rows.append([precision, milliseconds(slow, case), milliseconds(fast, case),
                     f"{slow / fast:.2f}"])  # fmt: skip
    headers = ["precision", "contiguous, ms a step", "channels-last, ms a step", "times faster"]
    return Table("Channels-last", headers, rows, f"Median of {case.turns} turns; fast kernels.")


def precisions(case: Case) -> Table:
    """Loss, speed and share of the matrix product, by arithmetic."""
    rows: list[list[Any]] = []
    pool, full = case.pool(), 0.0
    for name in ("fp32", "tf32", "bf16", "fp16"):
        peak, precision = product_peak(case, name), name.replace("tf32", "fp32")
        for bitwise in (True, False):
            with kernels(bitwise, tf32=name == "tf32"):
                ours(case.model(), pool, case.recipe(precision, case.few))
                model = case.model()
                begun = synchronised(case.device)
                kept = ours(model, pool, case.recipe(precision))
                taken = synchronised(case.device) - begun
            loss = sum(kept[-10:]) / len(kept[-10:])
            full = full or loss
            reached = case.flops / taken
            rows.append([
                name, "bitwise" if bitwise else "statistical", f"{loss:.4f}", f"{loss - full:+.4f}",
                milliseconds(taken, case), f"{reached / 1e12:.2f}", f"{peak / 1e12:.2f}",
                f"{100 * reached / peak:.1f} %",
            ])  # fmt: skip
    return Table(
        f"Arithmetic: {case.steps} steps at batch {case.spec.train.batch_size}",
        ["precision", "determinism", "loss at the end", "over fp32", "ms a step", "TFLOP/s",
         "matrix product, TFLOP/s", "share"],
        rows,
        f"Matrices of {case.side} x {case.side} in the same run; tf32 is torch's default for the "
        "convolutions of fp32. Loss: mean of the last ten that were kept.",
    )  # fmt: skip


def optimisers(case: Case) -> Table:
    """The optimiser's step in one kernel against several."""
    rows, start, pool = [], weights(case.model()), case.pool()
    for precision in ("fp32", "fp16"):
        recipe, ends = case.recipe(precision), {}

        def run(fused: bool, recipe: Train = recipe, ends: Any = ends) -> None:
            model = case.model()
            plain(model, pool, recipe, fused)
            synchronised(case.device)
            ends[fused] = weights(model)

        with kernels(bitwise=True):
            taken = interleaved({str(k): lambda k=k: run(k) for k in (False, True)}, case.turns)
        slow, fast = median(taken["False"]), median(taken["True"])
        off = f"{apart(ends[False], ends[True], start):.1e}"
        times = milliseconds(slow, case), milliseconds(fast, case), f"{slow / fast:.2f}"
        rows.append([precision, *times, off])
    headers = ["precision", "not fused, ms a step", "fused, ms a step", "times faster",
               "weights apart"]  # fmt: skip
    return Table("SGD in one kernel", headers, rows, f"Median of {case.turns} turns; bitwise.")


def loops(case: Case) -> Table:
    """Our loop against one written by hand, and what making batches costs."""
    rows, pool = [], case.pool()
    for name in ("tf32", "fp16"):
        peak, recipe = product_peak(case, name), case.recipe(name.replace("tf32", "fp32"))
        fused = case.device.type == "cuda" or None
        runs = {
            "one batch, by hand": lambda r=recipe, f=fused: plain(case.model(), pool, r, f, True),
            "by hand": lambda r=recipe, f=fused: plain(case.model(), pool, r, f),
            "ours": lambda r=recipe: ours(case.model(), pool, r),
        }
        with kernels(bitwise=True):
            taken = interleaved(
                {loop: lambda run=run: seconds(run, case.device) for loop, run in runs.items()},
                case.turns,
            )
        for loop, found in taken.items():
            over = median(a / b for a, b in zip(found, taken["by hand"], strict=True)) - 1
            rows.append([name, loop, middle(found), f"{100 * over:+.1f} %",
                         f"{100 * case.flops / median(found) / peak:.1f} %"])  # fmt: skip
    return Table(
        f"Our loop against a plain one: {case.steps} steps",
        ["precision", "loop", "seconds", "over by hand", "of the matrix product"], rows,
        f"{case.turns} turns (range); bitwise. One batch: made once, which shows what drawing and "
        "augmenting cost.",
    )  # fmt: skip


def replicas(case: Case) -> Table:
    """Trainings that differ in their seed, one by one and in one pass."""
    rows, pool, precision = [], case.pool(), case.spec.train.precision
    precision = "bf16" if precision == "fp16" else precision  # one scale of the loss for all
    wide = case.spec.model
    uses = [wide]
    if wide.name == "resnet9":
        uses.append(Use(wide.kind, wide.name, attrs.evolve(wide.settings, width=16)))
    run = {False: alone, True: together}
    for use in uses:
        name = f"{use.name} {getattr(use.settings, 'width', '')}".strip()
        for count in (8, 32) if case.device.type == "cuda" else (2, 4):

            def models(use: Use = use, count: int = count) -> list[torch.nn.Module]:
                return [case.model(use=use, key=f"seed {seed}") for seed in range(count)]

            start, taken, ends = weights(models()[0]), {}, {}
            with kernels(bitwise=False, tf32=False):
                for way, train in run.items():
                    first, whole = models(), models()
                    train(first, pool, case.recipe(precision, 1))
                    ends[way] = weights(first[0])
                    timed = partial(train, whole, pool, case.recipe(precision))
                    taken[way] = seconds(timed, case.device)
            off = apart(ends[False], ends[True], start)
            rows.append([
                name, count, f"{taken[False]:.2f}", f"{taken[True]:.2f}",
                f"{taken[False] / taken[True]:.2f}", f"{off:.1e}",
                "yes" if off <= SAME_WAY else "no",
            ])  # fmt: skip
    return Table(
        "Replicas: seeds one by one and in one pass",
        ["model", "replicas", "one by one, s", "together, s", "times faster",
         "apart after a step", "agrees"], rows,
        f"{case.steps} steps in {precision}, fast kernels, without TF32. Together: as "
        "`harness run --replicas` trains them. Apart: as in the first table.",
    )  # fmt: skip


def alone(models: Sequence[torch.nn.Module], pool: Pool, recipe: Train) -> None:
    """Train each model by the draws of its place."""
    for seed, model in enumerate(models):
        ours(model, pool, recipe, f"seed {seed}")


def together(models: Sequence[torch.nn.Module], pool: Pool, recipe: Train) -> None:
    """The same in one pass. Raises RuntimeError where that was not possible."""
    seats: list[Seat] = []

    def work(seed: int, seat: Seat) -> None:
        watch = Unwatched()
        watch.meeting = seat
        fit(models[seed], pool, recipe, generator=lambda p: generator(f"seed {seed}", p),
            watch=watch)  # fmt: skip
        seats.append(seat)

    take_turns([partial(work, seed) for seed in range(len(models))])
    if {seat.replicas for seat in seats} != {len(models)}:
        raise RuntimeError("the models were trained one by one")


PARTS: tuple[Callable[[Case], Table], ...] = (
    parity, repeats, precisions, loops, layouts, optimisers, replicas,
)  # fmt: skip
