"""The commands. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from harness import __version__
from harness.errors import HarnessError, UsageError

F = TypeVar("F", bound=Callable[..., Any])

PROFILE = click.option(
    "--profile", metavar="NAME,...", help="Apply profiles of the spec, in order."
)
SPEC = click.argument("spec", type=click.Path(path_type=Path))
DEFAULT_STORE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "harness"


def default_store() -> Path:
    """``$HARNESS_STORE``, or ``harness/store`` in the user's cache folder."""
    return Path(os.environ.get("HARNESS_STORE") or DEFAULT_STORE / "store")


def spec_options(command: F) -> F:
    """The options that change what a spec says."""
    for option in (
        click.option("--seeds", metavar="0,1", help="Use these seeds instead of the spec's."),
        click.option(
            "--set", "sets", multiple=True, metavar="PATH=VALUE", help="Override one value."
        ),
        PROFILE,
    ):
        command = option(command)
    return command


STORE = click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=default_store,
    help="Where artifacts lie.  [default: $HARNESS_STORE or ~/.cache/harness/store]",
)
DATA_ROOT = click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    envvar="HARNESS_DATA",
    help="Folder that holds data sets.  [env: HARNESS_DATA]",
)
ONLY = click.option(
    "--only",
    multiple=True,
    metavar="AXIS=VALUE",
    help="Only this method (method=ssd) or value of an axis (discovered=0.5); repeatable.",
)


REGISTRY = click.option(
    "--registry",
    type=click.Path(path_type=Path),
    help="Registry of published checkpoints.  [default: registry/ beside or above SPEC]",
)


def _load(spec: Path, profile: str | None, sets: Sequence[str], seeds: str | None) -> Any:
    from harness.spec.load import load_with_origins

    return load_with_origins(
        spec, profile, [*sets, *([f"seeds=[{seeds}]"] if seeds is not None else [])]
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="harness")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def harness(context: click.Context, debug: bool) -> None:
    """Evaluate machine unlearning and data poisoning from reviewed YAML specs.

    \b
    harness new my.yaml            a commented spec to start from
    harness plan my.yaml           what it will cost
    harness run my.yaml            run it, or go on with it
    """
    context.obj = debug


@harness.command()
@SPEC
@spec_options
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    help="Stages computed at once.  [default: fits the model]",
)
@STORE
@DATA_ROOT
@click.option(
    "--out", type=click.Path(path_type=Path), help="Report folder.  [default: results/ID/PROFILE]"
)
@ONLY
@click.option("--offline", is_flag=True, help="Never download anything.")
@REGISTRY
@click.option("--no-reuse", is_flag=True, help="Do not look for checkpoints on the Hub.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option(
    "--keep-going/--fail-fast", default=True, help="After a failed stage, go on with the others."
)
@click.option("--json-log", type=click.Path(path_type=Path), help="Write events here, JSON lines.")
@click.option(
    "--limit-hours",
    type=click.FloatRange(0, min_open=True),
    help="Stop after these hours, whatever the spec's budget says.",
)
@click.option(
    "--limit-memory-gb",
    type=click.FloatRange(0, min_open=True),
    help="Refuse each process more memory than that (Linux).",
)
def run(
    spec: Path, profile: str | None, sets: tuple[str, ...], seeds: str | None, **how: Any
) -> None:
    """Run SPEC, or go on with it, and write its report.

    Finished stages come from the store, then from the Hub as far as the registry lists them.
    Ctrl-C once stops cleanly; the same command goes on.
    """
    from harness.commands.run import RunRequest, run_spec
    from harness.plan.only import restrict
    from harness.plan.plan import compile_plan
    from harness.spec.load import profile_names

    loaded, origins = _load(spec, profile, sets, seeds)
    plan = restrict(compile_plan(loaded), how.pop("only"))
    if how.pop("dry_run"):
        _show_plan(plan, how["store"], _registry(how["registry"], spec), as_json=False)
        return
    profiles = "+".join(profile_names(profile)) or None
    out = how.pop("out") or Path("results") / loaded.id / (profiles or "default")
    how["registry"] = _registry(how["registry"], spec)
    how["reuse"] = not how.pop("no_reuse")
    command = _command_text()
    changes = (*sets, *([f"seeds=[{seeds}]"] if seeds is not None else []))
    request = RunRequest(
        plan=plan,
        profile=profiles,
        changes=changes,
        origins=origins,
        spec_file=spec,
        command=command,
        out=out,
        **how,
    )
    outcome = run_spec(request)
    click.echo(outcome.text)
    if outcome.exit_code:
        sys.exit(outcome.exit_code)


def _registry(named: Path | None, spec: Path) -> Path | None:
    """The registry to read: the one that was named, or the nearest."""
    from harness.store.registry import find_registry

    if named is not None and not named.is_dir():
        raise UsageError(f"--registry {named}: no such folder")
    return named or find_registry(spec.parent, Path())


@harness.command()
@SPEC
@PROFILE
@click.option("--to", "repo", required=True, metavar="ORG/NAME", help="Repository on the Hub.")
@STORE
@click.option(
    "--registry",
    type=click.Path(path_type=Path),
    help="Where the registry files go.  [default: registry/ beside or above SPEC, or here]",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="Report folder.  [default: results/ID/PROFILE]",
)
@click.option(
    "--license", "licence", default="apache-2.0", show_default=True, help="Of the weights."
)
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option("--dry-run", is_flag=True, help="Say what would be uploaded; no network.")
def publish(
    spec: Path,
    profile: str | None,
    store: Path,
    registry: Path | None,
    results: Path | None,
    **how: Any,
) -> None:
    """Upload what the store has for SPEC, and write its registry files.

    Base models, what they were trained on, and chosen checkpoints that are not in the registry go
    up in one commit. Review and commit the registry files.
    """
    from harness.commands.publish import PublishRequest
    from harness.commands.publish import publish as publish_plan
    from harness.plan.plan import compile_plan
    from harness.report import read_results
    from harness.spec.load import profile_names
    from harness.store.hub import Hub
    from harness.store.registry import find_registry, read_registry

    loaded, _ = _load(spec, profile, (), None)
    profiles = "+".join(profile_names(profile)) or None
    folder = results or Path("results") / loaded.id / (profiles or "default")
    place = registry or find_registry(spec.parent, Path()) or Path("registry")
    request = PublishRequest(
        plan=compile_plan(loaded),
        profile=profiles,
        spec_file=spec,
        store=store,
        registry=place,
        results=read_results(folder) if results or folder.exists() else None,
        **how,
    )
    click.echo(publish_plan(request, read_registry(place), Hub()))


@harness.command()
@SPEC
@spec_options
@STORE
@REGISTRY
@ONLY
@click.option("--offline", is_flag=True, help="Only the Hub library's cache, no network.")
def pull(
    spec: Path,
    profile: str | None,
    sets: tuple[str, ...],
    seeds: str | None,
    store: Path,
    registry: Path | None,
    only: tuple[str, ...],
    offline: bool,
) -> None:
    """Fetch everything the registry has for SPEC into the store. Runs nothing."""
    from harness.execute.reuse import pull as pull_plan
    from harness.plan.only import restrict
    from harness.plan.plan import compile_plan
    from harness.store import Store
    from harness.store.hub import Hub
    from harness.store.registry import read_registry

    plan = restrict(compile_plan(_load(spec, profile, sets, seeds)[0]), only)
    place = _registry(registry, spec)
    if place is None:
        raise UsageError(f"no registry folder beside or above {spec}; name one with --registry")
    fetched, there = pull_plan(
        plan, Store(store), read_registry(place), Hub(offline=offline), click.echo
    )
    click.echo(f"{fetched} checkpoints fetched, {there} were there already")


@harness.command()
@SPEC
@spec_options
@STORE
@DATA_ROOT
@ONLY
@click.option(
    "--recompute", type=click.IntRange(0), default=0, metavar="N", help="Compute N stages again."
)
@click.option("--seed", default=0, show_default=True, help="Chooses which.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
def verify(
    spec: Path,
    profile: str | None,
    sets: tuple[str, ...],
    seeds: str | None,
    store: Path,
    only: tuple[str, ...],
    **how: Any,
) -> None:
    """Hash everything the store has for SPEC (exit code 4 when it is damaged).

    With --recompute N, compute N stages again elsewhere and compare their bytes (exit code 1 when
    they differ).
    """
    from harness.commands.verify import recompute, verify_plan
    from harness.plan.only import restrict
    from harness.plan.plan import compile_plan
    from harness.store import Store

    plan = restrict(compile_plan(_load(spec, profile, sets, seeds)[0]), only)
    click.echo(verify_plan(plan, Store(store)))
    if count := how.pop("recompute"):
        click.echo(recompute(plan, store, count, click.echo, **how))


def _command_text() -> str:
    return shlex.join(["harness", *(Path(a).name if os.path.isabs(a) else a for a in sys.argv[1:])])


@harness.command("plan")
@SPEC
@spec_options
@STORE
@REGISTRY
@ONLY
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option(
    "--limit-exaflop",
    type=click.FloatRange(0, min_open=True),
    help="End with code 3 when the rest costs more, whatever the spec's budget says.",
)
def plan_command(
    spec: Path,
    profile: str | None,
    sets: tuple[str, ...],
    seeds: str | None,
    store: Path,
    registry: Path | None,
    only: tuple[str, ...],
    as_json: bool,
    limit_exaflop: float | None,
) -> None:
    """Show the stages of SPEC, what is cached or published, and what the rest costs.

    Runs nothing, and asks nobody: what is published is what the registry says.
    """
    from harness.plan.only import restrict
    from harness.plan.plan import compile_plan

    plan = restrict(compile_plan(_load(spec, profile, sets, seeds)[0]), only)
    _show_plan(plan, store, _registry(registry, spec), as_json)
    if limit_exaflop is not None:
        from harness.plan.cost import refuse_over
        from harness.store import Store

        refuse_over(limit_exaflop, plan, Store(store), "Make the spec or its profile smaller")


def _show_plan(plan: Any, store: Path, registry: Path | None, as_json: bool) -> None:
    from harness.plan.cost import plan_json, plan_text

    click.echo((plan_json if as_json else plan_text)(plan, store, registry))


@harness.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--profile", metavar="NAME", help="Compare with this profile applied to both.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown"]),
    default="text",
    show_default=True,
    help="How it is printed.",
)
def diff(old: Path, new: Path, profile: str | None, form: str) -> None:
    """Say what changed from the spec OLD to NEW, and what has to be computed again."""
    from harness.commands.diff import compare
    from harness.spec.load import load_spec

    click.echo(compare(load_spec(old, profile), load_spec(new, profile), form))


@harness.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@PROFILE
def validate(paths: tuple[Path, ...], profile: str | None) -> None:
    """Check the specs in PATHS (files or folders; specs/ when none is named)."""
    from harness.spec.load import load_spec

    files = [file for path in paths or (Path("specs"),) for file in _spec_files(path)]
    bad = 0
    for file in files:
        try:
            spec = load_spec(file, profile)
            click.echo(f"{file}: ok ({spec.id} {spec.version})")
        except HarnessError as error:
            click.echo(str(error), err=True)
            bad += 1
    if bad:
        raise UsageError(f"{bad} of {len(files)} specs are wrong")


def _spec_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob("*.yaml"))
    if not files:
        raise UsageError(f"{path}: no spec (*.yaml) in this folder")
    return files


@harness.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["github", "latex", "html", "csv"]),
    help="Print the tables; without it the report is written again.",
)
def report(folder: Path, form: str | None) -> None:
    """Print or write again the report of the results in FOLDER."""
    from harness.report import read_results, render, write_report

    results = read_results(folder)
    if form:
        click.echo(render(results, form))
    else:
        for file in write_report(results, folder):
            click.echo(file)


@harness.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(["variables", "neurips", "ml-reproducibility"]),
    default="variables",
    show_default=True,
    help="Which checklist.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "latex"]),
    default="markdown",
    show_default=True,
    help="How it is written.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write it to this file.")
def checklist(folder: Path, kind: str, form: str, out: Path | None) -> None:
    """Fill in a checklist for a paper's authors from the results in FOLDER.

    What the run does not prove is marked for the authors to answer.
    """
    from harness.report import author_checklist, read_results

    text = author_checklist(kind, form, read_results(folder))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)


@harness.command("list")
@click.argument("kind", required=False)
def list_command(kind: str | None) -> None:
    """List the installed components, of one KIND (methods, metrics, datasets, ...) or all."""
    from harness.commands.describe import listing

    click.echo(listing(kind))


@harness.command()
@click.argument("name")
@spec_options
def describe(name: str, profile: str | None, sets: tuple[str, ...], seeds: str | None) -> None:
    """Explain the component NAME: what it does, its source, settings and an example.

    Or the spec in the file NAME: every value, and where it comes from.
    """
    from harness.commands.describe import description, spec_description

    if name.endswith(".yaml") or Path(name).is_file():
        click.echo(spec_description(*_load(Path(name), profile, sets, seeds)))
    elif profile or sets or seeds:
        raise UsageError(f"{name} is no spec (*.yaml): --profile, --set and --seeds are for specs")
    else:
        click.echo(description(name))


@harness.command()
@click.option("--write", type=click.Path(path_type=Path), help="Write it to this file.")
def schema(write: Path | None) -> None:
    """Print the JSON Schema of the spec language, for editors."""
    from harness.spec.schema import schema_text

    if write:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(schema_text(), encoding="utf-8")
    else:
        click.echo(schema_text(), nl=False)


@harness.command()
@click.argument("file", type=click.Path(path_type=Path))
def new(file: Path) -> None:
    """Write a commented spec to FILE to start from."""
    from harness.commands.describe import new_spec

    if file.exists():
        raise UsageError(f"{file} exists already; choose another name")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(new_spec(file.stem), encoding="utf-8")
    click.echo(f"{file}: written. Next: harness validate {file}; harness run {file}")


@harness.group()
def store() -> None:
    """Look at, clean up and check the local store."""


@store.command("ls")
@STORE
def store_ls(store: Path) -> None:
    """List the artifacts."""
    from harness.commands.store import show

    click.echo(show(store))


@store.command("gc")
@STORE
@click.option(
    "--keep",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Keep what this spec and each of its profiles needs; repeatable.",
)
@click.option("--all", "everything", is_flag=True, help="Keep nothing.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
def store_gc(store: Path, keep: tuple[Path, ...], everything: bool, dry_run: bool) -> None:
    """Remove what no --keep spec needs, and what interrupted runs left behind."""
    from harness.commands.store import collect

    if bool(keep) == everything:
        raise UsageError("say what to keep with --keep SPEC, or --all to remove every artifact")

    click.echo(collect(store, keep, dry_run))


@store.command("verify")
@STORE
def store_verify(store: Path) -> None:
    """Hash every artifact and name the damaged ones (exit code 4)."""
    from harness.commands.store import check

    click.echo(check(store))


@harness.group()
def registry() -> None:
    """Check the registry of published checkpoints."""


@registry.command("check")
@click.option(
    "--registry",
    "folder",
    type=click.Path(path_type=Path),
    help="The registry.  [default: registry/ here or above]",
)
@click.option(
    "--specs", type=click.Path(path_type=Path), default=Path("specs"), help="Folder of the specs."
)
def registry_check(folder: Path | None, specs: Path) -> None:
    """Check that every entry is well-formed, single, and the key of a spec."""
    from harness.commands.registry import check_registry

    place = _registry(folder, specs)
    if place is None:
        raise UsageError("no registry folder here or above; name one with --registry")
    click.echo(check_registry(place, specs))


@harness.command()
@STORE
@DATA_ROOT
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="RESULTS",
    help="Say how this machine differs from the one that made these results (file or folder).",
)
def doctor(store: Path, data_root: Path | None, against: Path | None) -> None:
    """Say what this machine offers: versions, devices, data, Hub login.

    With --against the exit code is 1 where something differs that identical bytes need.
    """
    if against is None:
        from harness.commands.doctor import examine

        click.echo(examine(store, data_root))
        return
    from harness.commands.against import differences
    from harness.report import read_results

    text, same_bytes = differences(read_results(against))
    click.echo(text)
    if not same_bytes:
        sys.exit(1)


@harness.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL; source it from the shell's start-up file."""
    from click.shell_completion import get_completion_class

    kind: Any = get_completion_class(shell)
    click.echo(kind(harness, {}, "harness", "_HARNESS_COMPLETE").source())


def guarded(command: Callable[[], None]) -> Callable[[], None]:
    """``command`` with every error a user can cause as one message and an exit code."""

    @wraps(command)
    def call() -> None:
        try:
            command()
        except HarnessError as error:
            if "--debug" in sys.argv:
                raise
            click.echo(f"harness: {error}" if "\n" not in str(error) else str(error), err=True)
            sys.exit(error.exit_code)
        except (KeyboardInterrupt, click.exceptions.Abort):
            click.echo("harness: interrupted", err=True)
            sys.exit(130)
        except BrokenPipeError:
            sys.stdout = None
            sys.exit(0)
        except OSError as error:
            if "--debug" in sys.argv or error.filename is None:
                raise
            click.echo(f"harness: {error.filename}: {error.strerror}", err=True)
            sys.exit(1)

    return call


@guarded
def main() -> None:
    """The entry point of the ``harness`` command."""
    try:
        harness(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)


if __name__ == "__main__":
    main()
