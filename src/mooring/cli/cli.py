"""The verbs and where they live. A verb's module is imported when the verb is called, so that `--help` stays quick.

Exit codes: 0 done, 1 it did not hold or failed, 2 the command line was wrong, 130 Ctrl-C.
"""

import importlib
import os
import sys
from typing import Any

import click

from mooring.core.errors import MooringError

VERBS = {
    # name: (module, one line)
    "up": ("up", "Start serve and the workers, and keep them running."),
    "demo": ("demo", "Take the tour: questions, an agent, a crash, the bill, a replay."),
    "ask": ("documents", "Ask a question about documents; the answer cites them."),
    "documents": ("documents", "Add, list and remove documents."),
    "run": ("run", "Run a file with agents, or resume one of its runs."),
    "runs": ("runs", "List runs; see and resolve uncertain calls."),
    "replay": ("replay", "Run a recorded run again, offline, and compare."),
    "trace": ("trace", "Show what a run or a call did, and what it cost."),
    "cost": ("cost", "The bill; budgets; reconcile with the provider's export."),
    "keys": ("keys", "Create, list and revoke API keys."),
    "config": ("config", "Check and show the configuration."),
    "doctor": ("doctor", "Is all well? What it takes, whom it talks to, what waits."),
}
OPERATORS = {
    "serve": ("up", "One HTTP server, in the foreground."),
    "worker": ("up", "One worker, in the foreground."),
    "local": ("up", "The built-in models, on loopback."),
    "backup": ("backup", "A whole home as one file, while it works."),
    "restore": ("backup", "A home from a backup; nothing is sent twice."),
    "verify": ("verify", "The batteries behind the promises."),
    "sim": ("sim", "A provider that meters and misbehaves."),
}


class Verbs(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS, *OPERATORS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = VERBS.get(cmd_name) or OPERATORS.get(cmd_name)
        if found is None:
            return None
        module = importlib.import_module(f"mooring.cli.{found[0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, verbs in (("Commands", VERBS), ("Operators", OPERATORS)):
            with formatter.section(title):
                formatter.write_dl([(name, line) for name, (_, line) in verbs.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from mooring.core.registry import did_you_mean

            raise click.UsageError(f"No such command '{args[0]}'. {did_you_mean(args[0], [*VERBS, *OPERATORS])}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mooring")
def mooring() -> None:
    """Mooring: the application server for generative AI."""


def main() -> None:
    """The console script: errors of ours are one line that says what to do, never a traceback."""
    try:
        mooring(standalone_mode=False)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.Abort:
        click.echo("", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except MooringError as error:
        click.echo(f"mooring: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `mooring runs | head -1`: who read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a file or folder that the user named, or their home
        click.echo(f"mooring: {error.filename or 'The system'}: {error.strerror or error}.", err=True)
        sys.exit(1)
