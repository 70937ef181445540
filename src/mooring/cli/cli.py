"""The verbs and where they live. A verb's module is imported when the verb is called, so that `--help` stays quick."""

import importlib
from typing import Any

import click

from .output import examples

VERBS = {
    # name: (module, one line)
    "up": ("up", "Start serve and the workers, and keep them running."),
    "new": ("new", "Make a small app with its test and configuration."),
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
    "completion": ("completion", "Print the script that completes verbs in your shell."),
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

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """By the table above: completing a verb's name imports no verb."""
        from click.shell_completion import CompletionItem

        lines = {name: line for name, (_, line) in {**VERBS, **OPERATORS}.items()}
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(name, help=line) for name, line in lines.items() if name.startswith(incomplete)]

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from mooring.core.registry import did_you_mean

            raise click.UsageError(f"No such command '{args[0]}'. {did_you_mean(args[0], [*VERBS, *OPERATORS])}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("mooring demo", 'mooring ask "How long do refunds take?" --docs handbook/', "mooring trace last"),
)
@click.version_option(package_name="mooring")
@click.pass_context
def mooring(context: click.Context) -> None:
    """Mooring: the application server for generative AI."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        click.echo(f"\n{where_it_stands()}")


def where_it_stands() -> str:
    """This folder's home, or what to do where there is none."""
    from .rooms import find_database

    home = find_database()
    if home is not None:
        return f"The home of this folder is {home}. See what ran: mooring runs"
    return "This folder has no home yet. Take the tour: mooring demo. Or begin: mooring up"
