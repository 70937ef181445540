"""Runs over HTTP: started, followed with resumable ids, and told as typed events."""

import json

import pytest

from mooring import Client
from mooring.client.events import Finished, TextDelta, ToolCall, ToolResult
from mooring.core.errors import MooringError

from .conftest import Server, json_answer, sse_answer

KEY = "k"


def run(state: str = "completed", **fields: object) -> dict[str, object]:
    return {"id": "run_1", "state": state, "agent": "support", "output": None, "error": None, **fields}


def event(seq: int, kind: str, **payload: object) -> str:
    data = {"seq": seq, "kind": kind, "at_us": 0, "call_id": None, "payload": payload}
    return f"id: {seq}\nevent: {kind}\ndata: {json.dumps(data)}"


END = "event: end\ndata: {}"
STARTED = event(1, "run.started", definition={}, input="Hi")
MODEL = event(2, "model.finished", step="1.model", message={"role": "assistant", "content": "Let me look."})
TOOL = event(3, "tool.started", step="1.tool.0", id="t1", name="look", arguments="{}")
RESULT = event(4, "tool.finished", step="1.tool.0", id="t1", name="look", text="found", is_error=False)


def test_a_run_is_started_with_its_key_and_waited_for(server: Server) -> None:
    server.answers += [json_answer(run("queued"), 202), sse_answer(STARTED, END), json_answer(run(output="Done."))]
    with Client(server.url, KEY) as client:
        started = client.runs.start("support", "Hi", key="order-81", user="u")
        started.wait()
    assert (started.state, started.output) == ("completed", "Done.")
    assert server.asked[0].body == {"agent": "support", "input": "Hi", "user": "u", "tags": []}
    assert server.asked[0].headers["idempotency-key"] == "order-81"


def test_events_are_taken_up_after_the_last_id_when_the_connection_breaks(server: Server) -> None:
    server.answers += [sse_answer(STARTED, MODEL, is_cut=True), sse_answer(TOOL, END)]
    with Client(server.url, KEY) as client:
        assert [fact.seq for fact in client.runs.events("run_1")] == [1, 2, 3]
    assert [asked.path for asked in server.asked] == ["/v1/runs/run_1/events?after=0", "/v1/runs/run_1/events?after=2"]


def test_a_stream_tells_text_tools_and_the_end(server: Server) -> None:
    server.answers += [
        json_answer(run("running")),
        sse_answer(STARTED, MODEL, TOOL, RESULT, END),
        json_answer(run(output="Ok")),
    ]
    with Client(server.url, KEY) as client:
        events = list(client.runs.get("run_1").stream())
    assert events == [
        TextDelta("Let me look.", "1.model", 2),
        ToolCall("t1", "look", "{}", "1.tool.0", 3),
        ToolResult("t1", "look", "found", False, "1.tool.0", 4),
        Finished("completed", "Ok", seq=4),
    ]


def test_text_that_came_live_is_not_told_twice(server: Server) -> None:
    live = 'event: text.delta\ndata: {"kind": "text.delta", "payload": {"step": "1.model", "text": "Let me"}}'
    server.answers += [json_answer(run("running")), sse_answer(live, MODEL, END), json_answer(run())]
    with Client(server.url, KEY) as client:
        events = list(client.runs.get("run_1").stream())
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["Let me", " look."]


def test_the_output_of_a_failed_run_is_its_error(server: Server) -> None:
    server.answers.append(json_answer(run("failed", error={"code": "limit_reached", "message": "Too many steps."})))
    with Client(server.url, KEY) as client:
        failed = client.runs.get("run_1")
    assert failed.error_code == "limit_reached"
    with pytest.raises(MooringError, match=r"limit_reached: Too many steps\. See it: mooring trace run_1"):
        _ = failed.output


def test_runs_are_listed_and_cancelled(server: Server) -> None:
    server.answers += [json_answer({"data": [run("running")]}), json_answer(run("cancelled"))]
    with Client(server.url, KEY) as client:
        [found] = client.runs.list()
        found.cancel()
    assert found.state == "cancelled"
    assert (server.asked[1].method, server.asked[1].path) == ("POST", "/v1/runs/run_1/cancel")
