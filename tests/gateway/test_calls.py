"""Unstreamed calls, end to end: a real provider double, real sockets, a real journal."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from mooring.core import ids
from mooring.gateway.config import GatewayConfig, ModelConfig, ProviderConfig
from mooring.gateway.keys import Caller

from .house import House, default_config, house, say, sim_prices


def test_an_answer_comes_back_byte_for_byte_with_its_call_and_its_cost(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            answer = await home.ask(say("hello there"))
            assert (answer.status, answer.text) == (200, "hello there")
            assert answer.json["system_fingerprint"] == "fp_sim"
            call = await home.journal.get_call("default", ids.read("call", answer.headers["x-mooring-call"]))
            assert (call.state, call.status, call.name) == ("completed", 200, "sim/echo")
            assert answer.headers["x-mooring-cost-usd"] == f"0.{call.settled_nanos:09d}"
            assert await home.journal.get_body("default", call.id) == answer.body
            assert await home.bill() == (await home.meter(), 0)
            (attempt,) = await home.journal.attempts("default", call.id)
            assert (attempt.outcome, attempt.settlement, attempt.number) == ("completed", "settled", 1)
            assert attempt.price.source == "simulated"
            assert attempt.bytes_up > 0
            assert attempt.bytes_down > len(answer.body)
            assert attempt.sent_at_us is not None
            assert attempt.first_byte_at_us is not None
            assert attempt.sent_at_us <= attempt.first_byte_at_us

    asyncio.run(scene())


def test_unknown_fields_reach_the_provider_untouched_and_the_model_is_its_own(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            await home.ask(say("x", novelty={"deep": [1, 2]}, temperature=0.25))
            sent = msgspec.json.decode(home.sim.requests[-1].body)
            assert sent == {
                "model": "echo",
                "messages": [{"role": "user", "content": "x"}],
                "novelty": {"deep": [1, 2]},
                "temperature": 0.25,
            }

    asyncio.run(scene())


def test_a_model_without_a_route_is_404_with_the_nearest_name(tmp_path: Path) -> None:
    def config(url: str) -> GatewayConfig:
        return default_config(url, models={"fast": ModelConfig(targets=("sim/echo",))})

    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            answer = await home.ask(say("x", model="fats"))
            assert answer.status == 404
            assert answer.json["error"]["message"] == "Unknown model 'fats'. Did you mean 'fast'?"
            assert [model["id"] for model in await home.gateway.models(home.caller)] == ["fast"]

    asyncio.run(scene())


@pytest.mark.parametrize("body", [b"", b"{", b'{"model":"sim/echo","messages":"x"}', b"\xff"])
def test_a_bad_body_is_400_in_openais_shape_and_nothing_is_sent(tmp_path: Path, body: bytes) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            answer = await home.ask(body)
            assert answer.status == 400
            assert answer.json["error"]["type"] == "invalid_request_error"
            assert not home.sim.requests
            assert await home.journal.list_calls("default") == []

    asyncio.run(scene())


def test_user_session_tags_and_trace_are_the_calls(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            await home.ask(
                say("x"),
                x_mooring_user="u_1",
                x_mooring_session="s_1",
                x_mooring_tags="a, b",
                traceparent="00-" + "ab" * 16 + "-" + "cd" * 8 + "-01",
            )
            await home.ask(say("y", user="u_2"), traceparent="00-nonsense")
            second, first = await home.journal.list_calls("default")
            assert (first.user, first.session, first.tags) == ("u_1", "s_1", ("a", "b"))
            assert first.trace_id == b"\xab" * 16
            assert (second.user, second.trace_id) == ("u_2", second.id)

    asyncio.run(scene())


def fallback(url: str) -> GatewayConfig:
    """Two accounts of the double behind one name."""
    provider = ProviderConfig(type="sim", base_url=f"{url}/v1", prices=sim_prices())
    return GatewayConfig(
        providers={"first": provider, "second": provider},
        models={"fast": ModelConfig(targets=("first/echo-a", "second/echo-b"))},
        retry_wait_seconds=0.0,
        retry_wait_limit_seconds=0.05,
    )


async def reasons(home: House) -> list[tuple[str, str, str, int]]:
    (call,) = await home.journal.list_calls("default")
    return [
        (attempt.target, attempt.reason, attempt.outcome, attempt.settled_nanos)
        for attempt in await home.journal.attempts("default", call.id)
    ]


def test_an_overloaded_target_is_tried_twice_then_left_and_costs_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=fallback) as home:
            home.sim.fault("status", model="echo-a", status=503, times=2)
            answer = await home.ask(say("hi", model="fast"))
            assert (answer.status, answer.text) == (200, "hi")
            bill = await home.meter()
            assert await reasons(home) == [
                ("first/echo-a", "first", "failed", 0),
                ("first/echo-a", "retry", "failed", 0),
                ("second/echo-b", "fallback", "completed", bill),
            ]
            assert await home.bill() == (bill, 0)

    asyncio.run(scene())


def test_a_429_is_waited_for_and_one_that_asks_too_much_is_left(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=fallback) as home:
            home.sim.fault("status", model="echo-a", status=429, retry_after="0")
            assert (await home.ask(say("hi", model="fast"))).status == 200
            assert [reason for _, reason, _, _ in await reasons(home)] == ["first", "retry"]

    async def far() -> None:
        async with house(tmp_path, config=fallback) as home:
            home.sim.fault("status", model="echo-a", status=429, retry_after="3600")
            assert (await home.ask(say("hi", model="fast"))).status == 200
            call = (await home.journal.list_calls("default"))[0]
            attempts = await home.journal.attempts("default", call.id)
            assert [attempt.reason for attempt in attempts] == ["first", "fallback"]

    asyncio.run(scene())
    asyncio.run(far())


def test_a_429_of_the_only_target_reaches_the_caller_with_its_retry_after(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            home.sim.fault("status", status=429, retry_after="120")
            answer = await home.ask(say("hi"))
            assert (answer.status, answer.headers["retry-after"]) == (429, "120")
            assert answer.json["error"]["code"] == "rate_limit_exceeded"

    asyncio.run(scene())


def test_a_schema_error_is_neither_retried_nor_failed_over(tmp_path: Path) -> None:
    body = '{"error":{"message":"Invalid schema for tool","code":"invalid_schema","param":"tools[0]"}}'

    async def scene() -> None:
        async with house(tmp_path, config=fallback) as home:
            home.sim.fault("status", model="echo-a", status=400, body=body)
            answer = await home.ask(say("hi", model="fast"))
            assert answer.status == 400
            assert answer.json["error"]["message"] == "Invalid schema for tool"
            assert (answer.json["error"]["code"], answer.json["error"]["param"]) == ("invalid_schema", "tools[0]")
            assert len(home.sim.requests) == 1
            assert len(await reasons(home)) == 1

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, '{"error":{"message":"This model\'s maximum context length is 10","code":"context_length_exceeded"}}'),
        (400, '{"error":{"message":"Your credit balance is too low"}}'),
        (429, '{"error":{"message":"x","code":"insufficient_quota"}}'),
        (401, '{"error":{"message":"Incorrect API key"}}'),
        (404, '{"error":{"message":"The model does not exist"}}'),
    ],
)
def test_what_this_target_cannot_do_moves_on_at_once(tmp_path: Path, status: int, body: str) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=fallback) as home:
            home.sim.fault("status", model="echo-a", status=status, body=body)
            assert (await home.ask(say("hi", model="fast"))).status == 200
            assert [reason for _, reason, _, _ in await reasons(home)] == ["first", "fallback"]

    asyncio.run(scene())


def test_when_no_target_is_left_each_ones_answer_is_listed(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=fallback) as home:
            home.sim.fault("status", model="*", status=503, times=4)
            answer = await home.ask(say("hi", model="fast"))
            assert (answer.status, answer.json["error"]["code"]) == (502, "no_target_left")
            assert "first/echo-a answered 503" in answer.json["error"]["message"]
            assert "second/echo-b answered 503" in answer.json["error"]["message"]
            (call,) = await home.journal.list_calls("default")
            assert (call.state, call.settled_nanos, call.held_nanos) == ("failed", 0, 0)

    asyncio.run(scene())


FAULTS = [
    "html", "error_200", "reset_before_headers", "close_before_headers", "reset_after_headers", "reset_mid_chunk",
    "close_mid_chunk", "early_end", "truncated_json", "garbage", "garbage_http", "empty_stream", "bad_chunk",
    "flood_headers",
]  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("is_stream", [False, True])
def test_every_fault_before_the_first_event_falls_back_or_ends_in_an_error_and_the_money_adds_up(
    tmp_path: Path, kind: str, is_stream: bool
) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=fallback) as home:
            home.sim.fault(kind, model="echo-a", times=2)  # type: ignore[arg-type]
            answer = await home.ask(say("hi there dear friend", model="fast", stream=is_stream))
            assert answer.status == 200
            if is_stream:
                is_whole = answer.data[-1] == "[DONE]"
                assert is_whole or "error" in msgspec.json.decode(answer.data[-1])
                assert not is_whole or answer.stream_text == "hi there dear friend"
            else:
                assert answer.text == "hi there dear friend"
            settled, held = await home.bill()
            assert settled <= await home.meter() <= settled + held
            await home.reconcile()
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


@pytest.mark.parametrize(
    "kind", ["one_byte", "split_utf8", "wrong_content_type", "informational", "close_after", "close_delimited"]
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_what_is_odd_but_legal_is_answered_whole(tmp_path: Path, kind: str, is_stream: bool) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            home.sim.fault(kind)  # type: ignore[arg-type]
            answer = await home.ask(say("grüße 🌊 日本", stream=is_stream))
            assert (answer.stream_text if is_stream else answer.text) == "grüße 🌊 日本"
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


@pytest.mark.parametrize("kind", ["no_usage", "wrong_usage"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_without_a_usage_to_believe_the_answer_stands_and_its_maximum_is_held(
    tmp_path: Path, kind: str, is_stream: bool
) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            home.sim.fault(kind)  # type: ignore[arg-type]
            answer = await home.ask(say("hello", max_tokens=50, stream=is_stream))
            assert answer.status == 200
            assert "x-mooring-cost-usd" not in answer.headers
            settled, held = await home.bill()
            assert settled == 0
            assert 0 < await home.meter() <= held
            assert len(await home.journal.unsettled("default")) == 1
            await home.reconcile()
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


def test_an_answer_over_the_limit_is_refused_and_its_maximum_held(tmp_path: Path) -> None:
    def config(url: str) -> GatewayConfig:
        return default_config(url, answer_limit_bytes=1000)

    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            answer = await home.ask(say("x" * 4000))
            assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_malformed")
            settled, held = await home.bill()
            assert settled <= await home.meter() <= settled + held

    asyncio.run(scene())


def test_run_headers_are_for_processes_of_this_home_alone(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            run = ids.show("run", ids.new_id())
            answer = await home.ask(say("x"), x_mooring_run=run, x_mooring_step="1", x_mooring_epoch="1")
            assert (answer.status, answer.json["error"]["code"]) == (403, "permission_denied")
            answer = await home.ask(say("x"), idempotency_key="run/x/1")
            assert answer.status == 403
            answer = await home.ask(say("x"), caller=Caller.service("default"), x_mooring_run=run)
            assert answer.status == 400

    asyncio.run(scene())


def test_a_lost_lease_stops_the_call_before_it_is_paid(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            answer = await home.ask(
                say("x"),
                caller=Caller.service("default"),
                x_mooring_run=ids.show("run", ids.new_id()),
                x_mooring_step="1",
                x_mooring_epoch="1",
            )
            assert (answer.status, answer.json["error"]["code"]) == (409, "lease_lost")
            assert answer.headers["x-should-retry"] == "false"
            assert not home.sim.requests

    asyncio.run(scene())


def test_a_call_is_over_when_its_time_is_whatever_targets_are_left(tmp_path: Path) -> None:
    def config(url: str) -> GatewayConfig:
        models = {"fast": ModelConfig(targets=("sim/echo-a", "sim/echo-b", "sim/echo-c"), total_seconds=0.05)}
        return default_config(url, models=models)

    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            home.sim.fault("stall_first_byte", times=3)
            answer = await home.ask(say("hi", model="fast"))
            assert (answer.status, answer.json["error"]["code"]) == (504, "upstream_timeout")
            assert len(home.sim.requests) == 1
            home.sim.faults.release()

    asyncio.run(scene())
