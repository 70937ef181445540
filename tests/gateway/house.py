"""A real gateway between a real client side and a real simulated provider, with a real journal."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mooring.core import ids
from mooring.core.clock import SystemClock
from mooring.gateway import tables  # noqa: F401  # its table joins the schema
from mooring.gateway.config import GatewayConfig, PriceConfig, ProviderConfig
from mooring.gateway.gateway import Gateway
from mooring.gateway.inbound import Inbound, Outbound
from mooring.gateway.keys import Caller
from mooring.gateway.reconcile import parse_csv
from mooring.guardrails.config import GuardrailsConfig
from mooring.guardrails.guardrails import Guardrails
from mooring.journal import Journal
from mooring.journal.payloads import Policy
from mooring.net import EgressPolicy, HttpClient, Request
from mooring.sim import SimServer
from mooring.sim.models import CATALOGUE
from mooring.storage import Database
from mooring.storage.blobs import Blobs


class Secret:
    """A home's secret, for tests."""

    current = b"k" * 32
    version = 1
    versions = (1,)

    def get(self, version: int) -> bytes:
        return self.current


def usd(picos: int) -> str:
    """Dollars per million tokens of pico-dollars per token, exactly."""
    return f"{picos // 1_000_000}.{picos % 1_000_000:06d}"


def sim_prices() -> dict[str, PriceConfig]:
    """The double's catalogue, as an operator would write it down."""
    return {
        name: PriceConfig(
            input_usd=usd(model.price.input_picos),
            output_usd=usd(model.price.output_picos),
            cached_input_usd=None if model.price.cached_input_picos is None else usd(model.price.cached_input_picos),
            cache_write_usd=None if model.price.cache_write_picos is None else usd(model.price.cache_write_picos),
            reasoning_usd=None if model.price.reasoning_picos is None else usd(model.price.reasoning_picos),
            request_usd=f"{model.price.request_nanos / 1e9:.9f}",
            unit_usd=f"{model.price.unit_picos // 10**12}.{model.price.unit_picos % 10**12:012d}"
            if model.price.unit_picos
            else None,
            source="simulated",
        )
        for name, model in CATALOGUE.items()
    }


@dataclass
class House:
    """Everything of one gateway, and shorthand to ask it."""

    sim: SimServer
    database: Database
    journal: Journal
    gateway: Gateway
    http: HttpClient
    clock: SystemClock
    caller: Caller = field(default_factory=lambda: Caller("default", ("call",), api_key_id=b"a" * 16))

    def inbound(self, body: dict[str, Any] | bytes, *, caller: Caller | None = None, **headers: str) -> Inbound:
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        return Inbound(caller=caller or self.caller, body=raw, headers=named)

    async def ask(self, body: dict[str, Any] | bytes, *, caller: Caller | None = None, **headers: str) -> "Answer":
        outbound = await self.gateway.chat(self.inbound(body, caller=caller, **headers))
        return await read(outbound)

    async def meter(self) -> int:
        """Nano-dollars that the double has billed."""
        return sum(row.cost_nanos for row in self.sim.meter.rows)

    async def bill(self) -> tuple[int, int]:
        bill = await self.journal.bill("default")
        return bill.settled_nanos, bill.held_nanos

    async def reconcile(self) -> None:
        """Settle with the double's own export, which is complete."""
        response = await self.http.send(Request("GET", f"{self.sim.url}/meter.csv"))
        text = (await response.read(10_000_000)).decode()
        await self.journal.reconcile("default", parse_csv(text), is_complete_until_us=self.clock.now_us())


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]
    content_type: str
    chunks: list[bytes] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def text(self) -> str:
        return self.json["choices"][0]["message"]["content"]

    @property
    def data(self) -> list[str]:
        """The data of each server-sent event."""
        return [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]

    @property
    def stream_text(self) -> str:
        chunks = [msgspec.json.decode(data) for data in self.data if data != "[DONE]"]
        return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", ()))


async def read(outbound: Outbound) -> Answer:
    chunks: list[bytes] = []
    if isinstance(outbound.body, bytes):
        chunks.append(outbound.body)
    else:
        async for chunk in outbound.body:
            chunks.append(chunk)
    headers = {name.decode(): value.decode() for name, value in outbound.headers}
    return Answer(outbound.status, b"".join(chunks), headers, outbound.content_type, chunks)


@contextlib.asynccontextmanager
async def house(
    path: Path,
    *,
    config: Callable[[str], GatewayConfig] | None = None,
    checks: tuple[dict[str, Any], ...] = (),
    scripts: Any = None,
    payloads: Policy = "full",
) -> AsyncIterator[House]:
    clock, new_id = SystemClock(), ids.new_id
    async with SimServer(scripts) as sim, HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",))) as http:
        database = Database.open(f"sqlite:///{path / 'test.db'}")
        try:
            journal = Journal(
                database,
                Blobs(path / "blobs"),
                process_id=new_id(),
                clock=clock,
                new_id=new_id,
                payloads=payloads,
                redact=lambda text: text,
            )
            gateway = Gateway(
                config(sim.url) if config else default_config(sim.url),
                journal=journal,
                guardrails=Guardrails(GuardrailsConfig(checks=checks)),
                http=http,
                clock=clock,
                new_id=new_id,
                secrets=Secret(),
                database=database,
            )
            yield House(sim, database, journal, gateway, http, clock)
            await gateway.aclose()
        finally:
            database.close()


def another_journal(home: House, path: Path) -> Journal:
    """Another process's on the same database."""
    blobs = Blobs(path / "blobs")
    return Journal(home.database, blobs, process_id=ids.new_id(), clock=home.clock, new_id=ids.new_id)


@contextlib.asynccontextmanager
async def another_serve(home: House, config: GatewayConfig) -> AsyncIterator[Gateway]:
    """Another process's gateway on the same database, with a writer of its own."""
    url = f"sqlite:///{home.database._path}"
    database = Database.open(url)
    assert home.database._path is not None
    blobs = Blobs(home.database._path.parent / "blobs")
    journal = Journal(database, blobs, process_id=ids.new_id(), clock=home.clock, new_id=ids.new_id)
    gateway = Gateway(
        config,
        journal=journal,
        guardrails=Guardrails(GuardrailsConfig()),
        http=home.http,
        clock=home.clock,
        new_id=ids.new_id,
        secrets=Secret(),
        database=database,
    )
    try:
        yield gateway
        await gateway.aclose()
    finally:
        database.close()


def default_config(url: str, **more: Any) -> GatewayConfig:
    """One simulated provider; no waits between tries."""
    provider = ProviderConfig(type="sim", base_url=f"{url}/v1", prices=sim_prices())
    settings: dict[str, Any] = {"providers": {"sim": provider}, "retry_wait_seconds": 0.0, **more}
    return GatewayConfig(**settings)


def say(text: str, *, model: str = "sim/echo", **more: Any) -> dict[str, Any]:
    """A request with one user message."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}
