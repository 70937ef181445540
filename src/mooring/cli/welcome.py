"""What `mooring up` says once it is up: which models can be called and why, and two lines to call one with."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mooring.config import Explained
    from mooring.gateway.config import ProviderConfig
    from mooring.storage import Home

SHOWN_MODELS = 3  # of one server; the list of all is GET /v1/models
# The reader answers from a text, so it gets one.
READER_ASKS = "The harbour opens at six.\\nWhen does the harbour open?"


class Welcome(NamedTuple):
    """What is there to be told. `found` are the model servers of this machine."""

    url: str
    home: Path
    sign_in: str
    settings: "Explained"
    found: "Mapping[str, ProviderConfig]"


def prepare(settings: "Explained", home: "Home", url: str) -> Welcome:
    """Looks around once, makes the link, and the client's key if there is none."""
    import asyncio

    from mooring.gateway import discovery
    from mooring.processes.client_key import client_key
    from mooring.server.ui.session import login_path, mint
    from mooring.wiring import build

    async def look() -> Welcome:
        async with build(settings.config, home, kind="cli") as rooms:
            await client_key(rooms)
            found = await discovery.look(rooms.http, settings.config.gateway)
            link = url + login_path(await mint(rooms, "default"))
            return Welcome(url, home.path, link, settings, found)

    return asyncio.run(look())


def lines(welcome: Welcome) -> Iterator[str]:
    """The text, below the line that says that it is up."""
    yield f"Its pages: {welcome.sign_in} (works once, for ten minutes)"
    yield "Models:"
    yield from (f"  {line}" for line in models(welcome))
    yield from (f"  {line}" for line in ignored(os.environ))
    yield "Call one, from any folder:"
    yield f"  {curl_line(welcome)}"
    yield f"  {python_line(welcome)}"
    yield 'With any SDK: eval "$(mooring keys env)"'


def models(welcome: Welcome) -> Iterator[str]:
    """Each source of models, and why it is there."""
    gateway, sources = welcome.settings.config.gateway, welcome.settings.sources
    for name in gateway.models:
        yield f"{name}  ({', '.join(gateway.models[name].targets)})"
    for name, provider in gateway.providers.items():
        source = sources.get(("gateway", "providers", name, "type"), "mooring.toml")
        if source.startswith("discovered"):
            yield f"{name}/…  ({(provider.api_key or '').removeprefix('env:')} is set)"
        else:
            yield f"{_some(name, provider.models)}  ({source})"
    for name, provider in welcome.found.items():
        address = (provider.base_url or "").removeprefix("http://").removesuffix("/v1")
        yield f"{_some(name, provider.models)}  (free, answers at {address})"
    if "local" not in gateway.providers:
        yield "local/reader, local/minilm  (free, built in)"


def ignored(environment: Mapping[str, str]) -> Iterator[str]:
    """Keys that were seen and are not used."""
    from mooring.gateway.provider import OWN_KEYS, registry

    for name in registry.names():
        variable = registry.get(name).api_key_env
        if variable and environment.get(variable, "").startswith(OWN_KEYS):
            yield f"{variable} holds a key of Mooring's own: not used for {name}."


def curl_line(welcome: Welcome) -> str:
    """The key is read from its file, so that it appears on no screen."""
    from mooring.processes.client_key import FILE

    model, text = example(welcome)
    file = shlex.quote(str(welcome.home / FILE))
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "{text}"}}]}}'
    return (
        f"curl -sw '\\n' {welcome.url}/v1/chat/completions"
        f' -H "Authorization: Bearer $(cat {file})" -H "Content-Type: application/json" -d {shlex.quote(body)}'
    )


def python_line(welcome: Welcome) -> str:
    model, text = example(welcome)
    code = f'from mooring import Client; print(Client().chat("{text}", model="{model}").text)'
    return f"MOORING_HOME={shlex.quote(str(welcome.home))} {_python()} -c {shlex.quote(code)}"


def example(welcome: Welcome) -> tuple[str, str]:
    """A model that can answer now and something to ask it: a free one first, the built-in reader last."""
    from mooring.gateway.provider import registry

    gateway, sources = welcome.settings.config.gateway, welcome.settings.sources
    for name, provider in welcome.found.items():
        chat = [model for model in provider.models if "embed" not in model.lower()]
        if chat:
            return f"{name}/{chat[0]}", "Say hello."
    for name in gateway.models:
        return name, "Say hello."
    for name, provider in gateway.providers.items():
        is_keyed = sources.get(("gateway", "providers", name, "type"), "").startswith("discovered")
        first = provider.models[0] if provider.models else registry.get(provider.type).example if is_keyed else None
        if first:
            return f"{name}/{first}", "Say hello."
    return "local/reader", READER_ASKS


def _some(name: str, served: tuple[str, ...]) -> str:
    if not served:
        return f"{name}/…"
    shown = ", ".join(f"{name}/{model}" for model in served[:SHOWN_MODELS])
    return shown if len(served) <= SHOWN_MODELS else f"{shown} and {len(served) - SHOWN_MODELS} more"


def _python() -> str:
    """The Python that has Mooring: by its name, where that finds it."""
    found = shutil.which("python")
    is_ours = found is not None and Path(found).absolute() == Path(sys.executable).absolute()
    return "python" if is_ours else shlex.quote(sys.executable)
