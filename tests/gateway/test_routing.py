"""Which target answers: what a request needs, the strategies, and what rests."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.core.clock import ManualClock
from mooring.core.errors import MooringError, UpstreamError
from mooring.gateway.codecs import Failure, FailureKind
from mooring.gateway.codecs import registry as codecs
from mooring.gateway.config import GatewayConfig, ModelConfig, PriceConfig, ProviderConfig
from mooring.gateway.explain import explain
from mooring.gateway.health import EFFECTS, Targets, reset_seconds
from mooring.gateway.plan import Step
from mooring.gateway.route_config import BreakerConfig, FactsConfig, NeedsConfig
from mooring.gateway.routing import NoTargetFits, Router
from mooring.gateway.tries import _BY_KIND, Tries

from .house import House, house, say, sim_prices

PROVIDER = ProviderConfig(
    type="openai_compatible",
    base_url="http://127.0.0.1:9/v1",
    facts={
        "small": FactsConfig(context_tokens=1000, inputs=("text",), tools=False, json_output="none", region="us"),
        "large": FactsConfig(
            context_tokens=100_000, inputs=("text", "image"), tools=True, json_output="schema", region="eu",
            parameters=("max_tokens", "temperature", "tools", "response_format"),
        ),
    },
    prices={
        "small": PriceConfig(input_usd="0.1", output_usd="0.2"),
        "large": PriceConfig(input_usd="3", output_usd="9"),
        "middle": PriceConfig(input_usd="1", output_usd="2"),
    },
)  # fmt: skip
ALL = ("p/large", "p/middle", "p/small")


def router(clock: ManualClock | None = None, *, draw: Callable[[], float] = lambda: 0.5, **model: Any) -> Router:
    config = GatewayConfig(
        providers={"p": PROVIDER},
        models={"m": ModelConfig(targets=ALL, **model)},
        breaker=BreakerConfig(failures=3, rest_seconds=10, most_rest_seconds=60),
    )
    return Router(config, clock=clock or ManualClock(), draw=draw)


def tries(of: Router, body: dict[str, Any] | None = None, conversation: str = "") -> Tries:
    wire = codecs.get("openai_chat")().decode_request(msgspec.json.encode(body or say("hi", model="m")))
    return of.tries(of.plan("m"), wire.request, wire.fields, conversation=conversation)


def order(of: Router, body: dict[str, Any] | None = None, conversation: str = "") -> list[str]:
    """The targets in the order in which failures would lead through them."""
    going = tries(of, body, conversation)
    step: Step | None = going.first()
    found = []
    while step is not None:
        found.append(step.target.model)
        step = going.after("next", None)
    return found


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (say("hi", model="m"), ["large", "middle", "small"]),
        ({"model": "m", "messages": [{"role": "user", "content": [IMAGE]}]}, ["large", "middle"]),
        (say("x" * 40_000, model="m"), ["large", "middle"]),
        (say("hi", model="m", max_tokens=5000), ["large", "middle"]),
        (say("hi", model="m", tools=[TOOL]), ["large", "middle"]),
        (say("hi", model="m", response_format={"type": "json_object"}), ["large", "middle"]),
    ],
)
def test_a_target_that_cannot_do_what_is_asked_is_not_asked(body: dict[str, Any], expected: list[str]) -> None:
    assert order(router(), body) == expected


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        (NeedsConfig(region="eu"), ["large"]),
        (NeedsConfig(context_tokens=50_000), ["large"]),
        (NeedsConfig(max_input_usd=1.0), ["middle", "small"]),
        (NeedsConfig(max_output_usd=1.0), ["small"]),
        (NeedsConfig(require_parameters=True), ["large"]),
    ],
)
def test_a_route_says_what_its_targets_must_offer(needs: NeedsConfig, expected: list[str]) -> None:
    assert order(router(needs=needs), say("hi", model="m", temperature=0.5, max_completion_tokens=9)) == expected


def test_where_none_will_do_each_ones_reason_is_told_and_nothing_is_sent() -> None:
    with pytest.raises(NoTargetFits) as caught:
        order(router(needs=NeedsConfig(region="mars")))
    assert caught.value.status == 400
    assert caught.value.message.startswith("Model 'm' has no target for this request: p/large is not known to run in")


def test_the_cheapest_depends_on_the_request() -> None:
    assert order(router(strategy="cheapest")) == ["small", "middle", "large"]


def test_the_fastest_is_the_least_loaded_of_the_quick_and_a_slow_moment_counts_at_once() -> None:
    clock = ManualClock()
    of = router(clock, strategy="fastest")
    for name, seconds in (("p/large", 0.2), ("p/middle", 0.3), ("p/small", 0.1)):
        of.health.begin(name).end(None, None, seconds)
    assert order(of) == ["small", "large", "middle"]
    of.health.begin("p/small").end(None, None, 5.0)
    assert order(of) == ["large", "middle", "small"]
    busy = of.health.begin("p/large")
    assert order(of)[0] == "middle"
    busy.end(None, None, None)
    clock.advance(60)
    of.health.begin("p/small").end(None, None, 0.05)
    assert order(of)[0] == "small"


def test_the_least_busy_comes_first_by_its_weight() -> None:
    of = router(strategy="least_busy", weights={"p/large": 4.0})
    runs = [of.health.begin(name) for name in ("p/large", "p/large", "p/middle", "p/small")]
    assert order(of)[0] == "large"
    runs[3].end(None, None, None)
    assert order(of)[0] == "small"


def test_weights_are_shares() -> None:
    of = router(strategy="weighted", weights={"p/large": 8.0}, draw=random.Random(7).random)
    first = Counter(order(of)[0] for _ in range(2000))
    assert 0.75 < first["large"] / 2000 < 0.85


def test_a_conversation_stays_with_its_target_and_moves_only_if_that_rests() -> None:
    of = router(strategy="sticky")
    homes = {name: order(of, conversation=name)[0] for name in map(str, range(60))}
    assert set(homes.values()) == {"large", "middle", "small"}
    assert homes == {name: order(of, conversation=name)[0] for name in homes}
    for _ in range(3):
        of.health.begin("p/large").end(UpstreamError("x"), None, None)
    moved = {name: order(of, conversation=name)[0] for name in homes}
    assert all(moved[name] == home for name, home in homes.items() if home != "large")


def test_too_long_for_one_is_sent_only_to_those_that_hold_more() -> None:
    going = tries(router())
    going.first()
    step = going.after("next", None, is_too_long=True)  # 100,000 tokens were too few; the second's are not known
    assert step is not None
    assert step.target.model == "middle"
    assert going.after("next", None) is None


# Breakers ------------------------------------------------------------------------------


def fail(of: Router, name: str, times: int = 1, kind: FailureKind = "broken", wait: float | None = None) -> None:
    for _ in range(times):
        failure = Failure(kind, "it said so", retry_after_seconds=wait)
        of.health.begin(name).end(UpstreamError(f"{name} {kind}"), failure, None)


def test_a_target_that_fails_in_a_row_rests_and_is_tried_again_after_it() -> None:
    clock = ManualClock()
    of = router(clock)
    fail(of, "p/large", 2)
    of.health.begin("p/large").end(None, None, 0.1)
    fail(of, "p/large", 2)
    assert order(of)[0] == "large"
    fail(of, "p/large")
    assert order(of) == ["middle", "small", "large"]  # the last resort
    clock.advance(10.1)
    assert of.health.of("p/large").state(clock.monotonic()) == "probing"
    probe = of.health.begin("p/large")
    assert order(of)[0] == "middle"  # one at a time finds out
    probe.end(None, None, 0.1)
    assert of.health.of("p/large").state(clock.monotonic()) == "well"
    assert order(of)[0] == "large"


def test_each_further_rest_is_twice_as_long_up_to_a_bound() -> None:
    clock = ManualClock()
    of = router(clock)
    fail(of, "p/large", 3)
    rests = []
    for _ in range(5):
        rests.append(of.health.of("p/large").rest_seconds)
        clock.advance(rests[-1] + 0.1)
        fail(of, "p/large")
    assert rests == [10, 20, 40, 60, 60]


def test_when_all_rest_the_caller_is_told_why_and_when_to_come_back() -> None:
    of = router(ManualClock())
    for name in ALL:
        fail(of, name, kind="rate_limited", wait=30.0)
    with pytest.raises(MooringError) as caught:
        order(of)
    assert (caught.value.status, caught.value.code) == (429, "rate_limit_exceeded")
    assert str(caught.value) == (
        "Model 'm' has no target left: p/large rests for 30 s: p/large rate_limited; p/middle rests for 30 s: "
        "p/middle rate_limited; p/small rests for 30 s: p/small rate_limited. Come back in 30 s."
    )


def test_a_retry_after_is_believed_up_to_a_bound() -> None:
    of = router(ManualClock())
    fail(of, "p/large", kind="rate_limited", wait=86_400_000.0)
    assert of.health.of("p/large").rest_seconds == 60


@pytest.mark.parametrize("kind", ["out_of_money", "not_authorised"])
def test_a_key_or_an_account_that_is_refused_rests_at_once_and_asks_for_attention(kind: FailureKind) -> None:
    of = router(ManualClock())
    fail(of, "p/large", kind=kind)
    assert order(of)[0] == "middle"
    [row] = [row for row in of.health.shown() if row["target"] == "p/large"]
    assert (row["state"], row["attention"]) == ("resting", f"p/large {kind}")


@pytest.mark.parametrize("kind", ["invalid", "context_length", "no_such_model"])
def test_a_request_at_fault_says_nothing_against_the_target(kind: FailureKind) -> None:
    of = router(ManualClock())
    fail(of, "p/large", 5, kind=kind)
    assert order(of)[0] == "large"


def test_every_kind_of_failure_has_a_next_step_and_an_effect() -> None:
    assert set(EFFECTS) == set(_BY_KIND)
    assert {kind for kind, what in _BY_KIND.items() if what == "stop"} == {"invalid"}
    assert {kind for kind, what in _BY_KIND.items() if what == "retry"} == {"rate_limited", "overloaded", "broken"}


def test_an_answer_that_was_the_last_for_now_lets_the_target_rest() -> None:
    clock = ManualClock()
    health = Targets(BreakerConfig(), clock.monotonic)
    health.heed("p/large", {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"})
    assert health.of("p/large").rest_seconds == 300  # the longest that is believed
    health.heed("p/small", {"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "1s"})
    assert not health.of("p/small").rest_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1.0), ("6m0s", 360.0), ("120ms", 0.12), ("1h2m3s", 3723.0), ("2.5", 2.5), ("", None), ("5", 5.0),
     ("soon", None), ("5x", None), ("1s2", None), ("1.2.3s", None), (None, None)],
)  # fmt: skip
def test_a_reset_is_read_as_the_vendors_write_it(text: str | None, seconds: float | None) -> None:
    assert reset_seconds(text) == seconds


# Through the gateway --------------------------------------------------------------------


def two(url: str) -> GatewayConfig:
    provider = ProviderConfig(type="sim", base_url=f"{url}/v1", prices=sim_prices())
    return GatewayConfig(
        providers={"sim": provider},
        models={"fast": ModelConfig(targets=("sim/echo-a", "sim/echo-b"))},
        breaker=BreakerConfig(failures=2),
        retry_wait_seconds=0.0,
    )


async def targets_of_last(home: House) -> list[tuple[str, str]]:
    call = (await home.journal.list_calls("default"))[0]
    return [(attempt.target, attempt.reason) for attempt in await home.journal.attempts("default", call.id)]


def test_a_broken_target_is_left_alone_by_the_next_calls(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=two) as home:
            home.sim.fault("status", model="echo-a", status=503, times=2)
            assert (await home.ask(say("hi", model="fast"))).status == 200
            assert (await home.ask(say("hi", model="fast"))).status == 200
            assert await targets_of_last(home) == [("sim/echo-b", "first")]
            by_name = {row["target"]: row for row in home.gateway.targets()}
            assert (by_name["sim/echo-a"]["state"], by_name["sim/echo-b"]["state"]) == ("resting", "well")
            assert by_name["sim/echo-a"]["why"].startswith("sim/echo-a answered 503")

    asyncio.run(scene())


def test_where_all_others_fail_a_resting_target_is_probed(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=two) as home:
            home.sim.fault("status", model="echo-a", status=503, times=2)
            await home.ask(say("hi", model="fast"))
            home.sim.fault("status", model="echo-b", status=404)
            assert (await home.ask(say("hi", model="fast"))).status == 200
            assert await targets_of_last(home) == [("sim/echo-b", "first"), ("sim/echo-a", "probe")]

    asyncio.run(scene())


def test_a_provider_that_asked_to_be_left_alone_is_not_asked_before(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            home.sim.fault("status", status=429, retry_after="120")
            assert (await home.ask(say("hi"))).status == 429
            answer = await home.ask(say("hi"))
            assert (answer.status, answer.json["error"]["code"]) == (429, "rate_limit_exceeded")
            assert 100 <= int(answer.headers["retry-after"]) <= 120
            assert answer.json["error"]["message"].startswith("Model 'sim/echo' has no target left: sim/echo rests")
            assert len(home.sim.requests) == 1

    asyncio.run(scene())


def test_explain_tells_the_order_and_why_not_the_others() -> None:
    config = GatewayConfig(providers={"p": PROVIDER}, models={"m": ModelConfig(targets=ALL, strategy="cheapest")})
    body = msgspec.json.encode(say("hi", model="m", tools=[TOOL]))
    found = explain(config, body)
    assert found.lines() == [
        "Model 'm', cheapest: 2 of 3 targets can answer.",
        "1. p/middle  about $0.001000000 for this request",
        "2. p/large   about $0.004500000 for this request",
        "-  p/small   cannot call tools",
        "No server runs here: how the targets are doing is not known.",
    ]
    health = [{"target": "p/large", "state": "resting", "rests_for_seconds": 7.2, "why": "it broke", "running": 0,
               "latency_seconds": 0.1}]  # fmt: skip
    lines = explain(config, body, health=health).lines()
    assert lines[2] == "2. p/large   about $0.004500000 for this request; rests for 7 s: it broke"
    assert explain(config, body).facts()["targets"][2]["can_answer"] is False
