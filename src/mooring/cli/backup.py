"""`backup` and `restore`: a whole home as one file, and a home made from it."""

import sys
from pathlib import Path

import click

from .output import examples, json_option, print_json


@click.command("backup", epilog=examples("mooring backup backups/"))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--without-secrets", is_flag=True, help="Leave secret.key out: API keys will not work after a restore.")
@json_option("file", "size_bytes", "created_at", "rows", "blobs", "missing", "has_secrets")
def backup_command(target: Path, without_secrets: bool, as_json: bool) -> None:
    """Write a backup to TARGET, a new FILE.mooring or a folder, while everything goes on working.

    It holds one snapshot of the journal, documents included, the contents that it names, and the secrets. The index
    of documents and the spans are left out: they are made again from it.
    """
    import msgspec

    from mooring import config, storage
    from mooring.processes.copies import backup

    file, manifest = backup(
        config.load(), storage.Home.locate(), target, with_secrets=not without_secrets, say=progress
    )
    progress("")
    if as_json:
        shown = {
            name: value for name, value in msgspec.to_builtins(manifest).items() if name not in ("parts", "columns")
        }
        print_json({"file": str(file), "size_bytes": file.stat().st_size, **shown})
    else:
        size = file.stat().st_size / 1e6
        click.echo(f"{file}: {sum(manifest.rows.values()):,} rows, {manifest.blobs} blobs, {size:,.1f} MB.")
    if manifest.has_secrets:
        click.echo(
            "It holds the SECRETS of this home and all that was said: keep it as you keep a key (its mode is 600).",
            err=True,
        )
    for name in manifest.missing:
        click.echo(f"Missing in this home, and so in the backup: {name}", err=True)
    sys.exit(1 if manifest.missing else 0)


@click.command("restore", epilog=examples("mooring restore home.mooring --home /srv/mooring --verify"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--home", "home_path", required=True, type=click.Path(path_type=Path), help="The folder to make a home of."
)
@click.option("--verify", is_flag=True, help="Check that all that rows name is there, the sums, and rebuild the index.")
@click.option("--force", is_flag=True, help="Move what is in the home aside instead of refusing.")
@click.option(
    "--resume-runs",
    is_flag=True,
    help="Let unfinished runs go on here: only where the old home will never start again.",
)
@json_option("home", "created_at", "rows", "blobs", "uncertain", "parked", "faults", "is_verified")
def restore_command(file: Path, home_path: Path, verify: bool, force: bool, resume_runs: bool, as_json: bool) -> None:
    """Make a home from the backup FILE. Nothing of it is sent again by itself.

    Calls that were in flight are listed as uncertain, and unfinished runs are parked, because the old home may still
    work on them. Exit 1 if --verify finds a fault.
    """
    from mooring import config
    from mooring.processes.copies import restore

    done = restore(
        config.load(),
        file,
        home_path,
        is_forced=force,
        resumes_runs=resume_runs,
        verifies=verify,
        say=progress,
    )
    progress("")
    if as_json:
        print_json(
            {
                "home": str(home_path),
                "created_at": done.manifest.created_at,
                "rows": sum(done.manifest.rows.values()),
                "blobs": done.manifest.blobs,
                "uncertain": done.rest.uncertain,
                "parked": done.rest.parked,
                "faults": done.faults,
                "is_verified": verify,
            }
        )
        sys.exit(1 if done.faults else 0)
    click.echo(
        f"{home_path} is the home of {done.manifest.created_at}: {sum(done.manifest.rows.values()):,} rows, "
        f"{done.manifest.blobs} blobs."
    )
    if done.aside is not None:
        click.echo(f"What was there lies in {done.aside}.")
    if not done.manifest.has_secrets:
        click.echo("The secrets were left out of the backup: make new API keys (mooring keys create).")
    if done.rest.uncertain:
        click.echo(f"{done.rest.uncertain} calls were in flight and are uncertain: mooring runs uncertain")
    if done.rest.parked:
        click.echo(
            f"{done.rest.parked} unfinished runs are parked, because the old home may go on with them: "
            "mooring runs resume RUN"
        )
    if verify:
        for fault in done.faults:
            click.echo(f"FAULT: {fault}")
        click.echo(
            "Verified: hashes, rows, contents, sums."
            + (f" The index of {done.collections} collections was rebuilt." if done.collections else "")
            if not done.faults
            else "DOES NOT HOLD"
        )
    sys.exit(1 if done.faults else 0)


def progress(line: str) -> None:
    """To somebody who watches, one line that is written over."""
    from mooring.processes.copies import on_terminal

    if on_terminal():
        click.echo(f"\r\033[K{line}", err=True, nl=False)
