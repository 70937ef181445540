"""`keys`: API keys of a project."""

import click


@click.group("keys")
def keys_command() -> None:
    """Create, list and revoke API keys."""


@keys_command.command("create")
@click.option("--name", default="", help="What it is for; shown in lists.")
@click.option("--project", default="default", show_default=True, help="Whose calls, budgets and documents it reaches.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["call", "read", "write", "admin"]),
    help="What it may do; repeatable. Without one: call, read, write.",
)
@click.option(
    "--expires-days", type=click.IntRange(1), default=None, help="Days until it stops working. Without: never."
)
def create(name: str, project: str, scopes: tuple[str, ...], expires_days: int | None) -> None:
    """Make a key. It is shown once and kept only as a hash."""
    from mooring.cli.rooms import with_rooms

    secret = with_rooms(
        lambda rooms: rooms.keys.create(
            project,
            name=name,
            scopes=scopes or ("call", "read", "write"),
            lifetime_seconds=expires_days * 86_400 if expires_days else None,
        )
    )
    click.echo(secret)


@keys_command.command("list")
@click.option("--project", default="default", show_default=True, help="Which project.")
def list_(project: str) -> None:
    """The keys of a project; never their secrets."""
    import time

    from mooring.cli.rooms import with_rooms

    now_us = time.time() * 1e6
    keys = with_rooms(lambda rooms: rooms.keys.list(project))
    if not keys:
        click.echo("No keys yet. Make one: mooring keys create")
    for key in keys:
        has_expired = key.expires_at_us is not None and key.expires_at_us <= now_us
        state = "revoked" if key.revoked_at_us else "expired" if has_expired else "active"
        click.echo(f"{key.id}  {state:8}  {','.join(key.scopes):22}  {key.name}")


@keys_command.command("revoke")
@click.argument("key_id")
@click.option("--project", default="default", show_default=True, help="Which project.")
def revoke(key_id: str, project: str) -> None:
    """Make a key stop working, within two seconds."""
    from mooring.cli.rooms import with_rooms

    with_rooms(lambda rooms: rooms.keys.revoke(project, key_id))
    click.echo(f"{key_id} is revoked.")
