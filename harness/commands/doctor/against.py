"""``harness doctor --against``: how this machine differs from the one that made some results."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from attrs import frozen
from tabulate import tabulate

from harness.components import load
from harness.errors import HarnessError
from harness.execute import environment
from harness.plan.cells import cells_of
from harness.plan.cost import threads_of
from harness.report.results import Machine, Provenance, Results
from harness.spec.structure import structure

# Packages that change what is computed; another version of the rest should not move a bit.
COMPUTING = ("torch", "torchvision", "numpy", "scikit-learn", "pillow", "timm", "datasets")
NONE = "not here"


@frozen
class Difference:
    """One fact that is not the same; ``bits`` where identical bytes need it."""

    what: str
    there: str
    here: str
    bits: bool


def differences(results: Results) -> tuple[str, bool]:
    """A table of what differs with what it means, and whether identical bytes can be expected.

    What the results do not record is not compared.
    """
    run = results.provenance
    on_gpu = any(d.startswith("cuda") for d in (run.machine or Machine()).devices)
    found = [
        d
        for part in (
            _versions(run),
            _components(results),
            _machine(run, on_gpu),
            _threads(results, on_gpu),
            _revision(run),
        )
        for d in part
        if d.there != d.here
    ]
    rows = [[d.what, d.there, d.here, "yes" if d.bits else "no"] for d in found]
    headers = ["what", "there", "here", "bitwise results need it"]
    table = tabulate(rows, headers=headers, disable_numparse=True) if rows else "Nothing differs."
    same = not any(d.bits for d in found)
    return f"{table}\n\n{_meaning(results, same)}", same


def _meaning(results: Results, same: bool) -> str:
    if results.spec["deterministic"] != "bitwise":
        end = "" if same else ", and more than that differs here"
        return f"The spec asks for statistical repeats only: expect close numbers, not equal{end}."
    if same:
        return "Bitwise results can be expected: the same command gives identical bytes."
    return (
        "Bitwise results cannot be expected: numbers should agree within their spread. "
        "Install the versions that differ, or run on such a machine, for identical bytes."
    )


def _versions(run: Provenance) -> Iterator[Difference]:
    there = {**run.packages, **run.plugins, **run.versions}
    here = environment.versions()
    for name, found in there.items():
        bits = name in (*COMPUTING, "harness-unlearning") or name in run.plugins
        yield Difference(name, found, here.get(name) or _installed(name), bits)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return NONE


def _components(results: Results) -> Iterator[Difference]:
    """Revisions of the code of components, which are raised when its numbers change."""
    for used in results.components:
        known = load(used.kind).get(used.name)
        here = NONE if known is None else f"revision {known.revision}"
        yield Difference(used.name, f"revision {used.revision}", here, True)


def _machine(run: Provenance, on_gpu: bool) -> Iterator[Difference]:
    there = run.machine or Machine()
    here = environment.machine(_present(there.devices))
    needed = {"cpu": not on_gpu, "extensions": not on_gpu, "gpu": True, "cuda": True, "cudnn": True}
    for name in ("system", "cpu", "extensions", "gpu", "cuda", "cudnn", "driver"):
        if fact := getattr(there, name):
            bits = needed.get(name, False)
            yield Difference(name, _text(fact), _text(here.get(name) or NONE), bits)


def _text(fact: Any) -> str:
    return ", ".join(sorted(set(fact))) if isinstance(fact, list | tuple) else str(fact)


def _present(devices: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``devices`` that this machine has."""
    if not any(device.startswith("cuda") for device in devices):
        return devices
    import torch

    count = torch.cuda.device_count() if environment.has_nvidia_driver() else 0
    return tuple(d for d in devices if d == "cpu" or int(d.partition(":")[2] or 0) < count)


def _threads(results: Results, on_gpu: bool) -> Iterator[Difference]:
    there = results.provenance.threads
    if not there:
        return
    try:
        here = {threads_of(cell) for cell in cells_of(structure(results.spec))}
    except (HarnessError, ImportError):
        return  # a component that is missing here, which is among the differences
    texts = [" or ".join(map(str, sorted(counts))) for counts in (there, here)]
    yield Difference("threads", texts[0], texts[1], not on_gpu)


def _revision(run: Provenance) -> Iterator[Difference]:
    """Revisions of components say whether the code computes otherwise; a commit may not."""
    there, here = run.git, environment.git_state(Path.cwd())
    if there is not None and (here is None or here["revision"] != there.revision):
        yield Difference("git revision", there.revision, here["revision"] if here else NONE, False)
    if there is not None and there.dirty:
        yield Difference("uncommitted changes", "yes", "not known to be the same", False)
