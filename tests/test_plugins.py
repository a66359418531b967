"""An outside package adds a method without forking anything."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, TINY, Cli


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder in which the package of CONTRIBUTING.md is installed."""
    package = tmp_path / "plugin" / "tiny_plugin"
    package.mkdir(parents=True)
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    (package / "__init__.py").touch()
    (package / "shrink.py").write_text("from __future__ import annotations\n" + shown[0])
    site = tmp_path / "site"
    info = site / "tiny_plugin-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plugin\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[harness.methods]\nshrink = tiny_plugin.shrink\n")
    package.rename(site / "tiny_plugin")
    return site


def test_the_method_of_contributing_runs_from_a_spec(
    process: Cli, tiny: Path, installed: Path, tmp_path: Path
) -> None:
    path = f"{installed}:{ROOT}"
    assert "shrink" in process("list", "methods", PYTHONPATH=path).stdout
    assert "Multiply every weight" in process("describe", "shrink", PYTHONPATH=path).stdout
    tiny.write_text(TINY.replace("  - retrain\n", "  - {name: shrink, factor: 0.5}\n"))
    done = process("run", tiny, "--jobs", 1, "--only", "method=shrink", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert "shrink" in done.stdout
    text = (tmp_path / "results/tiny/default/results.json").read_text()
    assert '"tiny-plugin": "0.1"' in text
    missing = process("run", tiny)
    assert missing.returncode == 2
    assert "unknown component 'shrink'" in missing.stderr


def test_a_broken_plugin_is_named(process: Cli, installed: Path) -> None:
    (installed / "tiny_plugin" / "shrink.py").write_text("import nothing_like_it")
    done = process("list", "methods", PYTHONPATH=f"{installed}:{ROOT}")
    assert done.returncode == 1
    assert "'tiny-plugin' offers methods 'shrink', which cannot be imported" in done.stderr


def test_the_metric_of_contributing_works() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    code = (
        "from harness.components import component, get\n" + shown[1] + "\nimport torch\n"
        "class E:\n"
        "    def logits(self, s): return torch.eye(4)\n"
        "    def targets(self, s): return torch.tensor([0, 1, 0, 0])\n"
        "assert get('metrics', 'test_error').function(E(), None) == {'test_error': 0.5}\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
