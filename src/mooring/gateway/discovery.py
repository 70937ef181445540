"""What can be called without a section in `mooring.toml`: vendors by their key in the environment, servers on loopback.

A server is known by what it answers, never by its port: vLLM and llama.cpp name themselves in the list of their models,
Ollama in its greeting. Whatever else listens there is left alone.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from mooring.core.errors import ConfigError, MooringError
from mooring.net import HttpClient, Request
from mooring.net.deadlines import Deadlines

from .config import GatewayConfig, ProviderConfig
from .provider import Vendor, key_env
from .provider import registry as vendors

AGAIN_SECONDS = 30.0  # a server that was started meanwhile is found within so long
STRANGER_ROUNDS = 20  # another program's log is not filled with our questions: it gets one in ten minutes
ANSWER_LIMIT_BYTES = 1024 * 1024
# A server on this machine answers in milliseconds, unless the machine is busy; one that hangs must not keep anybody.
DEADLINES = Deadlines(connect_seconds=1.0, first_byte_seconds=2.0, idle_seconds=1.0, total_seconds=2.5)

Offer = Callable[[Mapping[str, ProviderConfig]], None]


class _Model(msgspec.Struct):
    id: str
    owned_by: str | None = None


class _Models(msgspec.Struct):
    data: list[_Model] | None = None


def keyed_vendors(environment: Mapping[str, str]) -> dict[str, str]:
    """The vendors whose key is in the environment, and the variable that holds it."""
    found = {name: key_env(vendor, environment) for name, vendor in _all_vendors() if vendor.base_url}
    return {name: variable for name, variable in found.items() if variable is not None}


def _all_vendors() -> list[tuple[str, type[Vendor]]]:
    """Those that load; a user's plug-in that does not is told when it is used, not by every verb."""
    found: list[tuple[str, type[Vendor]]] = []
    for name in vendors.names():
        with contextlib.suppress(ImportError, ConfigError):
            found.append((name, vendors.get(name)))
    return found


async def watch(http: HttpClient, config: GatewayConfig, offer: Offer) -> None:
    """Looks now and then, until cancelled, and offers what is there."""
    strangers: dict[str, int] = {}
    while config.discover and config.discover_at:
        strangers = {address: rounds - 1 for address, rounds in strangers.items() if rounds > 1}
        offer(await look(http, config, strangers=strangers))
        await asyncio.sleep(AGAIN_SECONDS)


async def look(
    http: HttpClient, config: GatewayConfig, *, strangers: dict[str, int] | None = None
) -> dict[str, ProviderConfig]:
    """The model servers at [gateway] discover_at, by the name under which their models are called.

    `strangers` are addresses that are not asked; one that answers and is none of ours is added.
    """
    strangers = {} if strangers is None else strangers
    asked = [address for address in config.discover_at if config.discover and address not in strangers]
    answers = await asyncio.gather(*(_identify(http, address) for address in asked))
    found: dict[str, ProviderConfig] = {}
    for address, answer in zip(asked, answers, strict=True):
        if answer is None:
            continue
        if answer.kind is None:
            strangers[address] = STRANGER_ROUNDS
            continue
        # A second server of a kind is told from the first by its port.
        name = answer.kind if answer.kind not in found else f"{answer.kind}-{address.rpartition(':')[2]}"
        found[name] = ProviderConfig(type=answer.kind, base_url=f"http://{address}/v1", models=answer.models)
    return found


class _Answer(NamedTuple):
    """`kind` is None where something else than a model server listens."""

    kind: str | None
    models: tuple[str, ...] = ()


async def _identify(http: HttpClient, address: str) -> _Answer | None:
    """Who answers there, and with which models; None where nobody does."""
    try:
        body = await _get(http, f"http://{address}/v1/models")
        models = msgspec.json.decode(body or b"", type=_Models).data or []
        kind = _by_owner(models) or _by_greeting(await _get(http, f"http://{address}/"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Answer(None)
    except MooringError:
        return None
    return _Answer(kind, tuple(model.id for model in models))


def _by_owner(models: Sequence[_Model]) -> str | None:
    owners = {model.owned_by for model in models}
    return next((name for name, vendor in _local_vendors() if vendor.owned_by in owners and vendor.owned_by), None)


def _by_greeting(body: bytes | None) -> str | None:
    said = (body or b"").strip()
    return next(
        (name for name, vendor in _local_vendors() if vendor.greeting and vendor.greeting.encode() == said), None
    )


def _local_vendors() -> list[tuple[str, type[Vendor]]]:
    return [(name, vendor) for name, vendor in _all_vendors() if vendor.owned_by or vendor.greeting]


async def _get(http: HttpClient, url: str) -> bytes | None:
    """The body of a 200, or None."""
    async with await http.send(Request("GET", url), deadlines=DEADLINES) as response:
        body = await response.read(ANSWER_LIMIT_BYTES)
        return body if response.status == 200 else None
