"""`/metrics` for a key of that scope, and bytes that are counted at the socket."""

import io
import json
import logging
from typing import Any

from tests.server.conftest import say

from mooring.guardrails.redactor import Redactor
from mooring.tracing.logs import LOGGED, use_json
from mooring.tracing.metrics import Family, expose
from mooring.tracing.tracing import Traces
from mooring.tracing.traffic import report


def samples(text: str) -> dict[str, float]:
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    }


def test_metrics_say_what_was_called_and_need_their_own_scope(run: Any) -> None:
    async def scenario(site: Any) -> None:
        await site.say("Hello")
        await site.rooms.projector.catch_up()
        assert (await site.get("/metrics")).status == 403
        key = await site.key_with("metrics")
        answer = await site.get("/metrics", key=key)
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = samples(answer.body.decode())
        assert found['mooring_calls_total{model="sim/echo",outcome="completed"}'] == 1
        assert found['mooring_attempts_total{target="sim/echo",outcome="failed"}'] == 0
        assert found['mooring_tokens_total{target="sim/echo",direction="output"}'] > 0
        assert found['mooring_settled_nanos_total{target="sim/echo"}'] > 0
        assert found['mooring_call_seconds_bucket{model="sim/echo",le="+Inf"}'] == 1
        assert found['mooring_http_requests_total{status="403"}'] == 1
        assert found["mooring_http_requests_running"] == 1
        assert found["mooring_writer_operations_total"] > 0
        assert found["mooring_calls_uncertain"] == found["mooring_held_nanos"] == 0
        assert found["mooring_disk_free_bytes"] > 0

    run(scenario)


def test_labels_are_escaped() -> None:
    family = Family("x", "gauge", "Help.", [("", {"model": 'a"b\\c\nd'}, 1)])
    assert expose([family]).splitlines()[2] == rb'mooring_x{model="a\"b\\c\nd"} 1'


def test_bytes_are_counted_at_the_socket_and_belong_to_their_call(run: Any) -> None:
    async def scenario(site: Any) -> None:
        answer = await site.say("Hello " * 200)
        stream = await site.post("/v1/chat/completions", say("Hello again", stream=True))
        service = await site.say("From a worker", key=site.rooms.service_key)
        await site.rooms.edge.flush()
        await site.rooms.projector.catch_up()
        found = {}
        for name, one in (("client", answer), ("stream", stream), ("worker", service)):
            trace = await Traces(site.rooms.journal).named("default", one.headers["x-mooring-call"])
            moved = await report(site.rooms.journal, site.rooms.spans, site.rooms.blobs, trace)
            found[name] = {hop.hop: (hop.exchanges, hop.bytes_up, hop.bytes_down) for hop in moved.hops}
        exchanges, up, down = found["client"]["client-serve"]
        assert exchanges == 1
        assert 1_200 < up < 2_200
        assert len(answer.body) < down < len(answer.body) + 500
        assert len(stream.body) < found["stream"]["client-serve"][2] < len(stream.body) + 4_000
        assert found["client"]["serve-provider"][0] == 1
        assert found["client"]["worker-serve"] == (0, 0, 0)
        assert found["worker"]["client-serve"] == (0, 0, 0)
        assert found["worker"]["worker-serve"][0] == 1
        before = await site.rooms.spans.after(b"", 1_000)
        await site.rooms.projector.rebuild()
        assert await site.rooms.spans.after(b"", 1_000) == before
        assert await site.rooms.edge.prune(before_us=0) == 0
        again = await report(site.rooms.journal, site.rooms.spans, site.rooms.blobs, trace)
        assert again == moved
        assert await site.rooms.edge.prune(before_us=site.rooms.clock.now_us() + 1) == 1

    run(scenario)


def test_a_line_of_the_log_is_one_json_object_without_secrets(run: Any) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("mooring")
    logger.addHandler(handler)
    use_json(Redactor(("a-very-secret-word",)), handler)

    async def scenario(site: Any) -> None:
        answer = await site.say("Hello")
        await site.get("/v1/calls/a-very-secret-word")
        first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert first["call"] == answer.headers["x-mooring-call"]
        assert (first["event"], first["status"], first["path"]) == ("request", 200, "/v1/chat/completions")
        assert first["bytes_up"] > 0
        assert second["status"] == 400
        assert "secret" not in second["path"]

    try:
        run(scenario, server={"log_format": "json"})
    finally:
        logger.removeHandler(handler)
        for name in LOGGED:
            logging.getLogger(name).setLevel(logging.NOTSET)
