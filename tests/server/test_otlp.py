"""OTLP in over HTTP: both encodings, zipped or not; a bad span costs itself, and what is acknowledged is there."""

import gzip
import os
import signal
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mooring.tracing import protobuf
from mooring.tracing.foreign import Foreign

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT, CHILD = "b7ad6b7169203331", "00f067aa0ba902b7"
START = 1_760_000_000_000_000_000
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


def span(span_id: str = PARENT, **more: Any) -> dict[str, Any]:
    times = {"startTimeUnixNano": str(START), "endTimeUnixNano": str(START + 120_000_000)}
    return {"traceId": TRACE, "spanId": span_id, "name": "GET /order", "kind": 2, **times, **more}


def export(*spans: Any) -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "lib"}, "spans": spans}]}]}


def part(number: int, value: bytes | str | int) -> bytes:
    """One field, length-delimited or a varint."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value % (1 << 64))
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fixed(number: int, value: int) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<Q", value)


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return found + bytes((value,))


def wire_span(span_id: str = CHILD, *more: bytes, trace_id: str = TRACE) -> bytes:
    head = part(1, bytes.fromhex(trace_id)) + part(2, bytes.fromhex(span_id)) + part(5, "ask") + part(6, 3)
    return head + fixed(7, START + 10_000_000) + fixed(8, START + 90_000_000) + b"".join(more)


def wire_export(*spans: bytes) -> bytes:
    service = part(1, part(1, "service.name") + part(2, part(1, "shop")))
    scope = part(2, part(1, part(1, "lib")) + b"".join(part(2, one) for one in spans))
    return part(1, part(1, service) + scope)


def test_json_and_protobuf_give_the_same_spans_and_join_the_trace_of_the_call(run: Any) -> None:
    async def scenario(site: Any) -> None:
        said = await site.say("Hi", headers={"traceparent": f"00-{TRACE}-{CHILD}-01"})
        assert said.status == 200
        answer = await site.post("/v1/traces", export(span()), headers=JSON)
        assert (answer.status, answer.json) == (200, {})
        number = part(9, part(1, "n") + part(2, part(3, -7)))
        nested = part(9, part(1, "all") + part(2, part(5, part(1, part(2, 1)) + part(1, b""))))
        double = part(9, part(1, "share") + part(2, varint(4 << 3 | 1) + struct.pack("<d", 0.5)))
        event = part(11, fixed(1, START) + part(2, "retry"))
        failed = part(15, part(2, "no stock") + part(3, 2))
        unknown = part(77, "from a later version") + varint(78 << 3 | 5) + b"1234"
        body = wire_export(
            wire_span(CHILD, part(4, bytes.fromhex(PARENT)), number, nested, double, event, failed, unknown)
        )
        answer = await site.post("/v1/traces", body, headers=PROTOBUF)
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", "application/x-protobuf")
        trace = (await site.get(f"/v1/traces/{TRACE}")).json
        assert trace["steps"][0]["calls"][0]["id"] == said.headers["x-mooring-call"]
        parent, child = trace["foreign"]
        assert (parent["service"], parent["name"], parent["kind"], parent["scope"]) == (
            "shop",
            "GET /order",
            "server",
            "lib",
        )
        assert (child["parent_id"], child["kind"], child["state"]) == (PARENT, "client", "error")
        assert child["attributes"] == {"n": -7, "all": [True, None], "share": 0.5}
        assert (child["message"], child["events"][0]["name"]) == ("no stock", "retry")
        other = await site.key_with("read", project="other")
        assert (await site.get(f"/v1/traces/{TRACE}", key=other)).status == 404

    run(scenario)


def test_a_rebuild_keeps_what_others_sent_and_the_same_batch_again_is_there_once(run: Any) -> None:
    async def scenario(site: Any) -> None:
        for _ in range(2):
            await site.post("/v1/traces", gzip.compress(wire_export(wire_span())), headers={**PROTOBUF, **ZIPPED})
        await site.rooms.projector.rebuild()
        trace = (await site.get(f"/v1/traces/{TRACE}")).json
        assert ([one["span_id"] for one in trace["foreign"]], trace["foreign_count"]) == ([CHILD], 1)
        assert trace["total"]["calls"] == 0

    run(scenario)


ZIPPED = {"content-encoding": "gzip"}


def test_a_bad_span_is_refused_alone_and_a_large_one_is_kept(run: Any) -> None:
    large = span("00000000000000aa", attributes=[{"key": "prompt", "value": {"stringValue": "x" * 100_000}}])
    bad = [
        span("0" * 16),
        span("zz"),
        span(traceId=TRACE[:-2]),
        span(name=5),
        span("00000000000000ab", startTimeUnixNano="soon"),
        span("00000000000000ac", attributes=[{"key": "k", "value": {"stringValue": "y" * (1 << 20)}}]),
        "no span",
    ]

    async def scenario(site: Any) -> None:
        answer = await site.post("/v1/traces", export(bad[0], large, *bad[1:], span()), headers=JSON)
        assert answer.status == 200
        assert answer.json["partialSuccess"]["rejectedSpans"] == str(len(bad))
        assert "spanId" in answer.json["partialSuccess"]["errorMessage"]
        foreign = (await site.get(f"/v1/traces/{TRACE}")).json["foreign"]
        assert sorted(one["span_id"] for one in foreign) == ["00000000000000aa", PARENT]
        assert any(len(one.get("attributes", {}).get("prompt", "")) == 100_000 for one in foreign)
        body = wire_export(wire_span("0" * 16), b"\x0a\xff", wire_span("00000000000000ad"))
        answer = await site.post("/v1/traces", body, headers=PROTOBUF)
        assert answer.status == 200
        said = str(answer.body[6:], "utf-8")
        assert answer.body == part(1, part(1, 2) + part(2, said))
        assert "2 of 3 spans were refused" in said
        assert (await site.get(f"/v1/traces/{TRACE}")).json["foreign_count"] == 3

    run(scenario)


def test_what_is_no_batch_is_refused_whole_with_what_to_do(run: Any) -> None:
    bomb = gzip.compress(b" " * 40_000_000)
    deep = b"\x0a\x00"
    for _ in range(40):  # arrays in arrays
        deep = part(5, part(1, deep))
    spans = wire_export(*[wire_span()] * 10_001)

    async def scenario(site: Any) -> None:
        for body, headers, status, words in (
            (b"{}", {"content-type": "text/plain"}, 415, "application/x-protobuf"),
            (b"{}", {**JSON, "content-encoding": "br"}, 415, "gzip"),
            (b"{", JSON, 400, "ExportTraceServiceRequest"),
            (b'{"resourceSpans": 5}', JSON, 400, "ExportTraceServiceRequest"),
            (b"\x0a\xff", PROTOBUF, 400, "behind the end"),
            (b"\x0f", PROTOBUF, 400, "wire type 7"),
            (b"\xff" * 11, PROTOBUF, 400, "64 bits"),
            (b"no gzip", {**JSON, **ZIPPED}, 400, "not gzip"),
            (gzip.compress(b"{}")[:-4], {**JSON, **ZIPPED}, 400, "cut off"),
            (bomb, {**JSON, **ZIPPED}, 413, "Unpacked"),
            (part(1, part(1, part(1, part(1, "k") + part(2, deep)))), PROTOBUF, 400, "too deeply"),
            (spans, PROTOBUF, 413, "nothing was kept"),
        ):
            answer = await site.post("/v1/traces", body, headers=headers)
            assert answer.status == status, (body[:40], answer.body)
            assert words in answer.error["message"]
        reader = await site.key_with("read")
        assert (await site.post("/v1/traces", b"{}", headers=JSON, key=reader)).status == 403
        assert (await site.post("/v1/traces", b"{}", headers=JSON, key="")).status == 401
        assert (await site.get(f"/v1/traces/{TRACE}")).status == 404

    run(scenario, server={"body_limit_bytes": 32_000_000})


def test_old_spans_of_others_are_forgotten_and_nothing_else(run: Any) -> None:
    async def scenario(site: Any) -> None:
        await site.post("/v1/traces", export(span()), headers=JSON)
        now = site.rooms.clock.now_us()
        prune = site.rooms.spans.prune
        await prune(minutes_before_us=0, hours_before_us=0, foreign_before_us=now - 86_400_000_000)
        assert (await site.get(f"/v1/traces/{TRACE}")).status == 200
        await prune(minutes_before_us=0, hours_before_us=0, foreign_before_us=now + 86_400_000_000)
        assert (await site.get(f"/v1/traces/{TRACE}")).status == 404

    run(scenario)


def test_a_forgotten_user_takes_along_what_other_programs_told_of_their_traces(run: Any) -> None:
    other = "1af7651916cd43dd8448eb211c80319d"

    async def scenario(site: Any) -> None:
        for trace, user in ((TRACE, "u_1"), (other, "u_2")):
            headers = {"traceparent": f"00-{trace}-{CHILD}-01", "x-mooring-user": user}
            assert (await site.say("Hi", headers=headers)).status == 200
            await site.post("/v1/traces", export({**span(), "traceId": trace}), headers=JSON)
        await site.rooms.journal.forget_user("default", "u_1")
        await site.rooms.projector.catch_up()
        count = Foreign(site.rooms.spans).count
        assert [await count("default", bytes.fromhex(trace)) for trace in (TRACE, other)] == [0, 1]

    run(scenario)


RECEIVER = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.server.conftest import site
from tests.server.test_otlp import JSON, export, span

async def main():
    async with site(Path(sys.argv[1])) as made:
        answer = await made.post("/v1/traces", export(*(span(f"{n:016x}") for n in range(1, 4_001))), headers=JSON)
        assert (answer.status, answer.json) == (200, {}), answer.body
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", RECEIVER, str(tmp_path), str(root)], env={**os.environ}, capture_output=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    (path,) = tmp_path.rglob("traces.db")
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT COUNT(*) FROM trace_foreign").fetchone() == (4_000,)
    database.close()


@pytest.mark.parametrize("count", [1, 127, 128, 300])
def test_the_refusal_is_a_message_of_any_length(count: int) -> None:
    assert protobuf.refusal(count, "why" * count) == part(1, part(1, count) + part(2, "why" * count))
