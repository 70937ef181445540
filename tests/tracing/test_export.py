"""Spans reach a collector at least once, with ids that do not change; a dead one loses nothing in silence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from mooring.core.ids import new_id
from mooring.journal import AttemptResult, CallAnswer, MeteredUsage
from mooring.net import EgressPolicy, HttpClient
from mooring.tracing.config import TracingConfig
from mooring.tracing.export import CollectorAway, Exporter
from mooring.tracing.projector import Projector
from mooring.tracing.repository import exports


class Collector:
    """Takes spans over a real socket, and answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.spans: list[dict[str, Any]] = []
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"POST /v1/traces HTTP/1.1\r\n")
        assert b"x-tenant: shop" in head
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = msgspec.json.decode(await reader.readexactly(length))
        if self.status == 200:
            self.spans += body["resourceSpans"][0]["scopeSpans"][0]["spans"]
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}" % self.status)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def collecting(following: Any) -> AsyncIterator[tuple[Collector, Exporter]]:
    collector = Collector()
    server = await asyncio.start_server(collector.answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    following.projector = Projector(
        following.journal,
        following.spans,
        following.blobs,
        redact=lambda text: text,
        clock=following.clock,
        config=TracingConfig(otlp_endpoint=url),
    )
    async with HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",))) as http:
        yield (
            collector,
            Exporter(following.journal, following.spans, http, endpoint=url, headers={"x-tenant": "shop"}),
        )
    server.close()
    await server.wait_closed()


def test_every_span_is_sent_once_it_is_projected_with_its_place_in_the_trace(following: Any) -> None:
    async def work() -> None:
        async with collecting(following) as (collector, exporter):
            call = following.scene.call(None, trace_id=new_id(), user="u_1", tags=("web",), parent_span_id=b"p" * 8)
            await following.scene.answered(await following.scene.send(call))
            await following.projector.catch_up()
            assert await following.spans.exports() == (2, 0)
            assert await exporter.send_some() == 2
            assert await exporter.send_some() == 0
            assert await following.spans.exports() == (0, 0)
            outer, inner = collector.spans
            assert outer["traceId"] == inner["traceId"] == call.trace_id.hex()
            assert outer["parentSpanId"] == (b"p" * 8).hex()
            assert inner["parentSpanId"] == outer["spanId"] == call.id[8:].hex()
            facts = {one["key"]: one["value"] for one in outer["attributes"]}
            assert facts["gen_ai.usage.input_tokens"] == {"intValue": "1000"}
            assert facts["mooring.tags"] == {"arrayValue": {"values": [{"stringValue": "web"}]}}
            assert int(outer["endTimeUnixNano"]) > int(outer["startTimeUnixNano"])
            await following.projector.rebuild()
            assert await following.spans.exports() == (0, 0)

    asyncio.run(work())


def test_a_collector_that_is_away_gets_them_later_and_the_cost_that_is_known_later_too(following: Any) -> None:
    async def work() -> None:
        async with collecting(following) as (collector, exporter):
            call = following.scene.call(None, trace_id=new_id())
            intent = await following.scene.send(call)
            lost = AttemptResult(intent.id, "failed", None, error_code="upstream_disconnected", provider_request_id="r")
            await following.journal.finish_attempt(lost, CallAnswer("failed", status=502))
            await following.projector.catch_up()
            collector.status = 503
            with pytest.raises(CollectorAway):
                await exporter.send_some()
            assert await following.spans.exports() == (2, 0)
            collector.status = 200
            assert await exporter.send_some() == 2
            await following.journal.reconcile("default", {"r": MeteredUsage(cost_nanos=77)})
            await following.projector.catch_up()
            assert await exporter.send_some() == 2
            assert collector.spans[0]["spanId"] == collector.spans[2]["spanId"]
            assert collector.spans[0]["status"]["code"] == 2

    asyncio.run(work())


def test_what_a_collector_refuses_and_what_the_queue_cannot_hold_is_counted(
    following: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with collecting(following) as (collector, exporter):
            collector.status = 400
            await following.scene.answered(await following.scene.send(following.scene.call(None, trace_id=new_id())))
            await following.projector.catch_up()
            assert await exporter.send_some() == 2
            assert await following.spans.exports() == (0, 2)
            monkeypatch.setattr(exports, "MOST_QUEUED", 3)
            for _ in range(3):
                call = following.scene.call(None, trace_id=new_id())
                await following.scene.answered(await following.scene.send(call))
            await following.projector.catch_up()
            assert await following.spans.exports() == (3, 5)

    asyncio.run(work())
