"""`keys`: API keys of a project."""

from typing import TYPE_CHECKING

import click

from .exports import env_command
from .output import Column, Listing, examples, json_option, note, print_json, print_table

if TYPE_CHECKING:
    from mooring.config import Config
    from mooring.storage import Home
    from mooring.wiring import Server


KEY_FIELDS = ("id", "name", "scopes", "state", "created_at_us", "expires_at_us", "revoked_at_us")


@click.group("keys", cls=Listing, epilog=examples("mooring keys", "mooring keys create --name shop --scope call"))
def keys_command() -> None:
    """Create, list and revoke API keys."""


keys_command.add_command(env_command)


@keys_command.command("create", epilog=examples("mooring keys create --name shop --scope call --expires-days 90"))
@click.option("--name", default="", help="What it is for; shown in lists.")
@click.option("--project", default="default", show_default=True, help="Whose calls, budgets and documents it reaches.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["call", "read", "write", "admin", "metrics"]),
    help="What it may do; repeatable. Without one: call, read, write.",
)
@click.option(
    "--expires-days", type=click.IntRange(1), default=None, help="Days until it stops working. Without: never."
)
@json_option("key")
def create(name: str, project: str, scopes: tuple[str, ...], expires_days: int | None, as_json: bool) -> None:
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
    if as_json:
        print_json({"key": secret})
    else:
        click.echo(secret)


@keys_command.command("list", epilog=examples("mooring keys list --project shop"))
@click.option("--project", default="default", show_default=True, help="Which project.")
@json_option(*KEY_FIELDS, is_list=True)
def list_(project: str, as_json: bool) -> None:
    """The keys of a project; never their secrets."""
    import time

    from mooring.cli.rooms import with_rooms

    now_us = time.time() * 1e6
    keys = with_rooms(lambda rooms: rooms.keys.list(project), makes_home=False)

    if as_json:
        print_json([{name: getattr(key, name, key.state_at(now_us)) for name in KEY_FIELDS} for key in keys])
    elif not keys:
        click.echo("No keys yet. Make one: mooring keys create")
    else:
        print_table(
            (Column("key"), Column("state"), Column("scopes"), Column("name", is_flexible=True)),
            [(key.id, key.state_at(now_us).replace("_", " "), ",".join(key.scopes), key.name) for key in keys],
        )
        if any(key.state_at(now_us) == "secret_lost" for key in keys):
            note("Keys whose secret is lost cannot be checked: make them again, or put the home's old secret.key back.")


@keys_command.command("revoke", epilog=examples("mooring keys revoke key_01m…"))
@click.argument("key_id")
@click.option("--project", default="default", show_default=True, help="Which project.")
@json_option("id", "state")
def revoke(key_id: str, project: str, as_json: bool) -> None:
    """Make a key stop working, within two seconds."""
    from mooring.cli.rooms import read_id, with_rooms

    read_id("key", key_id)
    with_rooms(lambda rooms: rooms.keys.revoke(project, key_id), makes_home=False)
    if as_json:
        print_json({"id": key_id, "state": "revoked"})
    else:
        click.echo(f"{key_id} is revoked.")


@keys_command.command("new-secret", epilog=examples("mooring keys new-secret"))
@json_option("version")
def new_secret(as_json: bool) -> None:
    """Go on with a new secret where the home's own is lost; keys made with that one are made again."""
    from mooring.cli.rooms import with_rooms
    from mooring.core.errors import InvalidRequest

    async def renew(rooms: "Server") -> int:
        prints, secrets = rooms.keys.prints, rooms.home.secrets
        strangers = await prints.strangers()
        if not strangers:
            raise InvalidRequest("The home's secret is the one of its database.", hint="There is nothing to mend.")
        version = secrets.renew(without=strangers, after=await prints.newest())
        await prints.require()
        return version

    version = with_rooms(renew, makes_home=False)
    if as_json:
        print_json({"version": version})
    else:
        click.echo(f"Version {version} of the secret is new. Make keys again with `mooring keys create`.")


@keys_command.command("login", epilog=examples("mooring keys login"))
@click.option("--project", default="default", show_default=True, help="Whose pages the browser will see.")
@json_option("url")
def login(project: str, as_json: bool) -> None:
    """Print a link that signs a browser in, once, within ten minutes."""
    from mooring import config, storage
    from mooring.cli.rooms import require_home
    from mooring.client.discovery import running_endpoint
    from mooring.core.errors import Unavailable

    endpoint = running_endpoint(require_home())
    if endpoint is None:
        raise Unavailable("No Mooring server runs on this home.", hint="Start one with `mooring up`.")
    link = sign_in_link(config.load(), storage.Home.locate(), endpoint.url, project=project)
    if as_json:
        print_json({"url": link})
    else:
        click.echo(link)


def sign_in_link(settings: "Config", home: "Home", url: str, *, project: str = "default", to: str | None = None) -> str:
    """A link to the pages of the server at `url`, with a fresh token; `to` is the page behind it."""
    import asyncio

    from mooring.server.ui.session import login_path, mint
    from mooring.wiring import build

    async def make() -> str:
        async with build(settings, home, kind="cli") as rooms:
            return await mint(rooms, project)

    return url + login_path(asyncio.run(make()), to=to)
