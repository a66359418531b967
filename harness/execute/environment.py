"""What a run was made with: versions, machine, revision. No torch import."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import (
    PackageNotFoundError,
    distributions,
    packages_distributions,
    version,
)
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch", "torchvision", "numpy", "scikit-learn", "safetensors", "attrs", "cattrs",
    "jsonschema", "pyyaml", "pyarrow", "pillow", "huggingface-hub", "timm", "datasets",
)  # fmt: skip

# By these the libraries below torch choose their kernels, whose sums differ in the last bits.
EXTENSIONS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")

# What a number can depend on, and notes and results cannot: from the root, by type.
SOURCES = (
    *(f":(top)*{end}" for end in (".py", ".yaml", ".yml", "pyproject.toml", "constraints.txt")),
    *(f":(top,exclude){folder}" for folder in ("results", "registry", "runs")),
)


def versions() -> dict[str, str]:
    """Python's version and those of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in ("harness-unlearning", *PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def imported() -> set[str]:
    """The outermost names of all modules that this process has imported."""
    return {name.partition(".")[0] for name in list(sys.modules)}


def packages(modules: Iterable[str]) -> dict[str, str]:
    """The installed packages that ``modules``, named by their outermost names, come from."""
    homes = packages_distributions()
    names = {name for module in modules for name in homes.get(module, ())}
    return {re.sub(r"[-_.]+", "-", name).lower(): version(name) for name in sorted(names)}


def cpu_model() -> str:
    """The processor's name."""
    return _of_cpu("model name") or platform.processor() or platform.machine()


def cpu_extensions() -> tuple[str, ...]:
    """Which of ``EXTENSIONS`` the processor has; none where the system does not tell."""
    flags = (_of_cpu("flags") or _of_cpu("Features")).split()
    return tuple(name for name in EXTENSIONS if name in flags)


def _of_cpu(fact: str) -> str:
    """What Linux says of the first processor; empty where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    found = (line.partition(":")[2].strip() for line in lines if line.startswith(fact))
    return next(found, "")


def cpu_count() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_nvidia_driver() -> bool:
    """Whether asking torch for a CUDA device could succeed; spares the import where it cannot."""
    return Path("/proc/driver/nvidia").exists() or platform.system() == "Windows"


def nvidia_driver() -> str | None:
    """The version of the graphics driver, on Linux."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    found = re.search(r"Module.*?\s(\d+\.[\d.]+)", text)
    return found[1] if found else None


def git_state(folder: Path) -> dict[str, Any] | None:
    """Revision of the checkout that holds ``folder``, and whether its code or specs differ."""
    try:
        revision = _git(folder, "rev-parse", "HEAD")
        status = _git(folder, "status", "--porcelain", "--untracked-files=all", "--", *SOURCES)
    except (OSError, subprocess.SubprocessError):
        return None
    return {"revision": revision, "dirty": bool(status)}


def constraints_digest(folder: Path) -> str | None:
    """SHA-256 of ``constraints.txt`` at the root of the checkout that holds ``folder``."""
    try:
        return hashlib.sha256((_root(folder) / "constraints.txt").read_bytes()).hexdigest()
    except (OSError, subprocess.SubprocessError):
        return None


def place_in_checkout(file: Path) -> str:
    """``file`` from the root of its checkout; its name alone where it is in none."""
    file = file.resolve()
    try:
        return file.relative_to(_root(file.parent)).as_posix()
    except (OSError, ValueError, subprocess.SubprocessError):
        return file.name


def _root(folder: Path) -> Path:
    return Path(_git(folder, "rev-parse", "--show-toplevel")).resolve()


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def machine(devices: tuple[str, ...]) -> dict[str, Any]:
    """Operating system, processor and the devices that were computed on."""
    facts: dict[str, Any] = {
        "system": f"{platform.system()} {platform.release()}",
        "cpu": cpu_model(),
        "cpus": cpu_count(),
        "extensions": list(cpu_extensions()),
        "devices": list(devices),
    }
    if any(device.startswith("cuda") for device in devices):
        import torch

        facts["gpu"] = [torch.cuda.get_device_name(d) for d in devices if d.startswith("cuda")]
        facts["cuda"], facts["driver"] = torch.version.cuda, nvidia_driver()
        facts["cudnn"] = torch.backends.cudnn.version()
    return facts


def plugins() -> Mapping[str, str]:
    """Installed packages that add components, with their versions."""
    return {
        str(d.name): d.version
        for d in distributions()
        if any(e.group.startswith("harness.") for e in d.entry_points)
    }
