"""`keys`: API keys of a project."""

from typing import TYPE_CHECKING

import click

from .exports import env_command

if TYPE_CHECKING:
    from mooring.config import Config
    from mooring.storage import Home


@click.group("keys")
def keys_command() -> None:
    """Create, list and revoke API keys."""


keys_command.add_command(env_command)


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


@keys_command.command("login")
@click.option("--project", default="default", show_default=True, help="Whose pages the browser will see.")
def login(project: str) -> None:
    """Print a link that signs a browser in, once, within ten minutes."""
    from mooring import config, storage
    from mooring.client.discovery import running_endpoint
    from mooring.core.errors import Unavailable

    endpoint = running_endpoint(storage.Home.locate().path)
    if endpoint is None:
        raise Unavailable("No Mooring server runs on this home.", hint="Start one with `mooring up`.")
    click.echo(sign_in_link(config.load(), storage.Home.locate(), endpoint.url, project=project))


def sign_in_link(settings: "Config", home: "Home", url: str, *, project: str = "default", to: str | None = None) -> str:
    """A link to the pages of the server at `url`, with a fresh token; `to` is the page behind it."""
    import asyncio

    from mooring.server.ui.session import login_path, mint
    from mooring.wiring import build

    async def make() -> str:
        async with build(settings, home, kind="cli") as rooms:
            return await mint(rooms, project)

    return url + login_path(asyncio.run(make()), to=to)
