"""An outside package adds a method without forking anything."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from conftest import ROOT, Cli
from harness.components import catalogue

PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
SHOWN = PYTHON.findall((ROOT / "CONTRIBUTING.md").read_text())


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder in which the package of CONTRIBUTING.md is installed."""
    site = tmp_path / "site"
    package = site / "tiny_plugin"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "shrink.py").write_text(SHOWN[0])
    (package / "error.py").write_text(SHOWN[1])
    info = site / "tiny_plugin-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plugin\nVersion: 0.1\n")
    entries = (
        "[harness.methods]\nshrink = tiny_plugin.shrink\n"
        "[harness.metrics]\ntest_error = tiny_plugin.error\n"
    )
    (info / "entry_points.txt").write_text(entries)
    return site


@pytest.fixture
def outside(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same package, found by this process; its folder, whose files a test may break."""
    _forget()
    monkeypatch.syspath_prepend(installed)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield installed / "tiny_plugin"
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.startswith("tiny_plugin")]:
        del sys.modules[name]
    for kind, name in (("methods", "shrink"), ("metrics", "test_error")):
        catalogue._catalogue[kind].pop(name, None)
    catalogue.broken.clear()
    for cached in (catalogue.load, *catalogue._caches):
        cached.cache_clear()


DECORATED = SHOWN[0].splitlines().index("@component(") + 1
BREAKS = {
    "import nothing_like_it\n": (1, "No module named 'nothing_like_it'"),
    SHOWN[0] + "def half(:\n": (SHOWN[0].count("\n") + 1, "invalid syntax"),
    SHOWN[0].replace("revision=1", "revison=1"): (DECORATED, "no trait 'revison'"),
    SHOWN[0] + "raise SystemExit\n": (SHOWN[0].count("\n") + 1, "SystemExit"),
    SHOWN[0].replace('"shrink",', '"ssd",'): (DECORATED, "two components of kind 'methods'"),
}


@pytest.mark.parametrize("text", BREAKS, ids=[words for _, words in BREAKS.values()])
def test_a_broken_plugin_is_named_with_its_line_and_stops_no_other_spec(
    text: str, cli: Cli, tiny: Path, outside: Path
) -> None:
    line, words = BREAKS[text]
    (outside / "shrink.py").write_text(text)
    listed = cli("list", "methods")
    assert listed.returncode == 0
    assert "retrain" in listed.stdout and "shrink" not in listed.stdout
    notice = "notice: the installed package 'tiny-plugin' offers methods 'shrink', which cannot"
    assert notice in listed.stderr
    assert f"{outside / 'shrink.py'}:{line}: " in listed.stderr
    assert words in listed.stderr
    done = cli("validate", tiny)
    assert done.returncode == 0, done.stderr
    assert "test_error" in cli("list", "metrics").stdout  # the package's other module


def test_a_spec_that_uses_a_broken_plugin_is_told_why_it_cannot(
    cli: Cli, tiny: Path, outside: Path
) -> None:
    (outside / "shrink.py").write_text("import nothing_like_it\n")
    done = cli("validate", tiny, "--add-method", "shrink")
    assert done.returncode == 2
    said = done.stderr.splitlines()[0]
    assert "unknown component 'shrink'" in said
    assert "/shrink.py:1: ModuleNotFoundError: No module named" in said


def test_what_a_broken_plugin_shares_with_a_working_one_stays(cli: Cli, outside: Path) -> None:
    (outside / "error.py").write_text("from tiny_plugin import shrink\n" + SHOWN[1] + "1 / 0\n")
    assert "test_error" not in cli("list", "metrics").stdout
    assert "Multiply every weight" in cli("describe", "shrink").stdout


def test_every_code_block_of_the_guide_runs_as_it_stands(outside: Path) -> None:
    for number, text in enumerate(SHOWN):
        (outside / f"block_{number}.py").write_text(text)
        module = importlib.import_module(f"tiny_plugin.block_{number}")
        assert module.__doc__
        for kind, name in (("methods", "shrink"), ("metrics", "test_error")):
            catalogue._catalogue[kind].pop(name, None)


def test_a_method_of_a_package_stands_in_a_table_after_one_command(
    cli: Cli, tiny: Path, tmp_path: Path, finished: Path, outside: Path
) -> None:
    assert "shrink" in cli("list", "methods").stdout
    assert "Multiply every weight" in cli("describe", "shrink").stdout
    done = cli("run", tiny, "--jobs", 1, "--add-method", "{name: shrink, factor: 0.5}")
    assert done.returncode == 0, done.stderr
    assert "shrink" in done.stdout
    text = (tmp_path / "results/tiny/default/results.json").read_text()
    found = json.loads(text)
    assert {row["method"] for row in found["rows"]} == {"none", "retrain", "ssd", "shrink"}
    assert found["spec"]["methods"][-1]["factor"] == 0.5
    assert '"tiny-plugin": "0.1"' in text
    again = shlex.split(found["provenance"]["command"])[2:]
    plan = json.loads(cli("plan", *again, "--json").stdout)
    assert plan["cached"] == plan["stages"], "the command that the report names is another"
    outside.rename(outside.with_name("gone"))
    _forget()
    missing = cli("run", tiny, "--add-method", "shrink")
    assert missing.returncode == 2
    assert "unknown component 'shrink'" in missing.stderr


def test_the_schema_covers_installed_packages_and_says_so(cli: Cli, outside: Path) -> None:
    done = cli("schema")
    assert "from other packages: methods shrink, metrics test_error" in done.stderr
    assert "what every weight is multiplied by" in done.stdout


def test_the_metric_of_the_guide_counts_errors(outside: Path) -> None:
    class Evidence:
        def logits(self, split: str) -> torch.Tensor:
            return torch.eye(4)

        def targets(self, split: str) -> torch.Tensor:
            return torch.tensor([0, 1, 0, 0])

    metric = catalogue.get("metrics", "test_error")
    assert metric.function(Evidence(), None) == {"test_error": 0.5}
