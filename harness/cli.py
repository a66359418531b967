"""The command line: finds the command that was asked for, and answers for its errors.

Each command is declared in the module of its name in ``harness/commands``, which is imported only
when the command runs.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from harness import __version__
from harness.errors import HarnessError, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)

# Every command with what ``--help`` says of it, the first sentence of its docstring.
COMMANDS = {
    "new": "Write a commented spec to FILE to start from.",
    "validate": "Check the specs in PATHS (files or folders; specs/ when none is named).",
    "plan": "Show the stages of SPEC, what is cached or published, and what the rest costs.",
    "run": "Run SPEC, or go on with it, and write its report.",
    "report": "Print or write again the report of the results in FOLDER.",
    "leaderboard": "Join every results.json below FOLDER into one page: methods against protocols.",
    "claims": "Judge the claims files in PATH (a file or folder) by the results of their specs.",
    "describe": "Explain the component NAME: what it does, its source, settings and an example.",
    "list": "List the installed components, of one KIND (methods, metrics, datasets, ...) or all.",
    "diff": "Say what changed from the spec OLD to NEW, and what has to be computed again.",
    "pull": "Fetch everything the registry has for SPEC into the store.",
    "verify": "Hash everything the store has for SPEC (exit code 4 when it is damaged).",
    "publish": "Upload what the store has for SPEC, and write its registry file.",
    "checklist": "Fill in a checklist for a paper's authors from the results in FOLDER.",
    "prose": "Fill in the marked numbers of every README.md in FOLDER from results in FOLDER.",
    "store": "Look at, clean up and check the local store.",
    "registry": "Check the registry of published checkpoints.",
    "schema": "Print the JSON Schema of the spec language, for editors.",
    "doctor": "Say what this machine offers: versions, devices, data, Hub login.",
    "completion": "Print the completion script of SHELL; source it from the shell's start-up file.",
}


class Commands(click.Group):
    """A group that imports a command's module when the command is used, not to list it."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"harness.commands.{name}")
        found: click.Command = module.command
        return found

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        fitting = [name for name in COMMANDS if name.startswith(incomplete)]
        found = [CompletionItem(name, help=COMMANDS[name]) for name in fitting]
        return found + click.Command.shell_complete(self, context, incomplete)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="harness")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def harness(debug: bool) -> None:
    """Evaluate machine unlearning and data poisoning from reviewed YAML specs.

    \b
    harness new my.yaml            a commented spec to start from
    harness plan my.yaml           what it will cost
    harness run my.yaml            run it, or go on with it
    """


def say(text: str) -> None:
    """``text`` on standard error, unless that is full or closed."""
    with suppress(OSError):
        click.echo(text, err=True)


def _let_go() -> None:
    """Drop the streams that cannot be written: Python would end with a code of its own."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (AttributeError, OSError, ValueError):
            setattr(sys, name, None)


def guarded(command: Callable[[], None]) -> Callable[[], None]:
    """``command`` with every error a user can cause as one message and an exit code."""

    @wraps(command)
    def call() -> None:
        try:
            command()
        except HarnessError as error:
            if "--debug" in sys.argv:
                raise
            say(f"harness: {error}" if "\n" not in str(error) else str(error))
            sys.exit(error.exit_code)
        except (KeyboardInterrupt, click.exceptions.Abort):
            say("harness: interrupted")
            sys.exit(130)
        except BrokenPipeError:
            sys.exit(0)
        except OSError as error:
            if "--debug" in sys.argv or (error.filename is None and error.errno not in _FULL):
                raise
            say(f"harness: {error.filename or 'standard output'}: {error.strerror}")
            sys.exit(1)
        finally:
            _let_go()

    return call


@guarded
def main() -> None:
    """The entry point of the ``harness`` command."""
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # what schedulers send before they kill
    try:
        os.getcwd()
    except OSError as problem:
        why = f"the folder that this was started in cannot be used ({problem.strerror})"
        raise UsageError(f"{why}; change to one that can") from None
    try:
        harness(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    finally:
        catalogue = sys.modules.get("harness.components.catalogue")
        if catalogue and "_HARNESS_COMPLETE" not in os.environ:
            for why in catalogue.broken.values():
                click.echo(f"notice: {why}", err=True)


if __name__ == "__main__":
    main()
