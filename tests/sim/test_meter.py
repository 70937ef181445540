"""What the double bills, whatever the client does."""

import asyncio
import csv
import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.sim import MeterRow, Reply, SimPrice, SimServer
from mooring.sim.conversation import Conversation, decode_chat
from mooring.sim.generate import choose, pieces
from mooring.sim.meter import Meter, cost_nanos
from mooring.sim.models import input_tokens

from .conftest import chat_body, connect

_SMALL = st.integers(0, 10**7)


def _row(**tokens: int) -> MeterRow:
    return MeterRow(0, "req_1", "", "echo", "chat", 0, **tokens)


@given(_SMALL, _SMALL, _SMALL, _SMALL, st.integers(0, 10**9), st.none() | st.integers(0, 10**9))
def test_a_row_costs_the_exact_sum_of_its_parts_rounded_up_once(
    fresh: int, cached: int, said: int, thought: int, price: int, part: int | None
) -> None:
    row = _row(
        input_tokens=fresh + cached,
        cached_input_tokens=cached,
        output_tokens=said + thought,
        reasoning_tokens=thought,
    )
    other = price if part is None else part
    exact = Fraction(fresh * price + cached * other + said * (price + 1) + thought * (part or price + 1), 1000)
    if part == 0:
        exact = Fraction(fresh * price + said * (price + 1), 1000)
    cost = cost_nanos(row, SimPrice(price, price + 1, part, part, request_nanos=7))
    assert 0 <= cost - 7 - exact < 1


def test_the_cost_of_a_known_answer_is_what_a_hand_computes() -> None:
    row = _row(input_tokens=10, cached_input_tokens=4, output_tokens=3)
    # 6 × 250.007 + 4 × 25.013 + 3 × 2000.003 = 1500.042 + 100.052 + 6000.009 = 7600.103 nano-dollars
    assert cost_nanos(row, SimPrice(250_007, 2_000_003, cached_input_picos=25_013)) == 7601


_TEXT = st.text(max_size=40)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "role": st.just("user"),
                "content": _TEXT | st.lists(st.builds(lambda t: {"type": "text", "text": t}, _TEXT)),
            }
        ),
        min_size=1,
        max_size=6,
    ),
    st.lists(_TEXT, max_size=3),
    st.booleans(),
)
def test_the_tokens_of_a_request_never_exceed_the_bytes_of_its_body(
    messages: list[Any], descriptions: list[str], is_ascii: bool
) -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": text}} for text in descriptions]
    fields = {"model": "echo", "messages": messages, "tools": tools}
    body = json.dumps(fields, ensure_ascii=is_ascii, separators=(",", ":")).encode()
    assert input_tokens(decode_chat(body)) <= len(body)


@settings(max_examples=200)
@given(_TEXT, _TEXT, st.lists(st.tuples(st.just("tool"), _TEXT), max_size=2), st.integers(1, 40))
def test_the_pieces_of_an_answer_add_up_to_it_and_never_pass_the_limit(
    text: str, reasoning: str, calls: list[tuple[str, str]], limit: int
) -> None:
    request = decode_chat(msgspec.json.encode(chat_body(max_tokens=limit)))
    conversation = Conversation("echo", request.messages, [])
    choice = choose(request, conversation, Reply(text, reasoning, tuple(_call(name, said) for name, said in calls)))
    parts = [(msgspec.json.decode(piece.delta), piece) for piece in pieces(choice)]
    assert "".join(delta.get("content", "") for delta, _ in parts) == choice.text
    assert "".join(delta.get("reasoning_content", "") for delta, _ in parts) == choice.reasoning
    arguments = "".join(call["function"]["arguments"] for delta, _ in parts for call in delta.get("tool_calls", ()))
    assert arguments == "".join(call.arguments for call in choice.calls)
    assert sum(piece.output_tokens for _, piece in parts) == choice.output_tokens <= limit
    assert sum(piece.reasoning_tokens for _, piece in parts) == choice.reasoning_tokens


def _call(name: str, said: str) -> Any:
    from mooring.sim import ToolCall

    return ToolCall(name, msgspec.json.encode({"said": said}).decode())


def test_a_row_names_its_request_and_the_callers_attempt() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            _, headers, body = await raw.ask(
                "POST", "/v1/chat/completions", chat_body(), [("x-mooring-attempt", "att_7")]
            )
            rows = json.loads((await raw.ask("GET", "/meter"))[2])
            usage = json.loads(body)["usage"]
            assert rows[0]["request_id"] == headers["x-request-id"]
            assert rows[0]["attempt"] == "att_7"
            assert rows[0]["is_finished"] is True
            assert rows[0]["disconnected"] is False
            assert (rows[0]["input_tokens"], rows[0]["output_tokens"]) == (
                usage["prompt_tokens"],
                usage["completion_tokens"],
            )

    asyncio.run(go())


def test_a_client_that_hangs_up_in_a_stream_is_billed_for_what_was_generated() -> None:
    async def go() -> None:
        async with SimServer() as sim:
            planted = sim.fault("stall_mid_stream", after_events=5)
            async with connect(sim) as raw:
                raw.send("POST", "/v1/chat/completions", chat_body("writer", stream=True))
                await planted.reached.wait()
            row = await sim.meter.wait(lambda row: row.model == "writer")
            whole = json.loads(await _ask(sim, "writer"))["usage"]["completion_tokens"]
            assert row.disconnected
            assert not row.is_finished
            assert 0 < row.output_tokens < whole
            assert row.cost_nanos == cost_nanos(row, sim.catalogue["writer"].price)

    asyncio.run(go())


def test_a_client_that_hangs_up_while_an_unstreamed_answer_is_made_is_billed_too() -> None:
    async def go() -> None:
        async with SimServer() as sim:
            async with connect(sim) as raw:
                raw.send("POST", "/v1/chat/completions", chat_body("writer-1000words-1ms"))
                while not (sim.meter.rows and sim.meter.rows[0].output_tokens):
                    await asyncio.sleep(0)
                assert not sim.meter.rows[0].is_finished
            row = await sim.meter.wait(lambda _: True)
            assert row.disconnected
            assert not row.is_finished
            assert row.input_tokens > 0

    asyncio.run(go())


def test_a_paced_answer_ends_up_with_the_same_bill_as_an_instant_one() -> None:
    async def go() -> None:
        async with SimServer() as sim:
            for name in ("writer-9words", "writer-9words-1ms"):
                for is_stream in (False, True):
                    await _ask(sim, name, stream=is_stream)
            assert len({(row.output_tokens, row.cost_nanos, row.is_finished) for row in sim.meter.rows}) == 1

    asyncio.run(go())


def test_the_csv_and_the_totals_agree_with_the_rows() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            await raw.ask("POST", "/v1/chat/completions", chat_body(), [("x-mooring-attempt", 'a,"b"')])
            await raw.chat("reasoner")
            table = list(csv.DictReader(io.StringIO((await raw.ask("GET", "/meter.csv"))[2].decode())))
            rows = json.loads((await raw.ask("GET", "/meter"))[2])
            totals = json.loads((await raw.ask("GET", "/meter/totals"))[2])
            assert [row["attempt"] for row in table] == ['a,"b"', ""]
            assert [int(row["cost_nanos"]) for row in table] == [row["cost_nanos"] for row in rows]
            assert [row["is_finished"] for row in table] == ["true", "true"]
            assert totals["cost_nanos"] == sum(row["cost_nanos"] for row in rows)
            later = json.loads((await raw.ask("GET", "/meter?after=0&limit=5"))[2])
            assert [row["model"] for row in later] == ["reasoner"]
            await raw.ask("DELETE", "/meter")
            assert json.loads((await raw.ask("GET", "/meter"))[2]) == []

    asyncio.run(go())


def test_the_oldest_rows_are_dropped_but_stay_in_the_totals() -> None:
    async def go() -> None:
        async with SimServer(most_rows=3) as sim, connect(sim) as raw:
            for _ in range(5):
                await raw.chat()
            totals = sim.meter.totals()
            assert len(sim.meter.rows) == 3
            assert (totals.rows, totals.dropped_rows) == (5, 2)
            assert totals.cost_nanos == 5 * sim.meter.rows[0].cost_nanos

    asyncio.run(go())


def test_the_file_has_a_line_per_request_and_is_appended_to(tmp_path: Path) -> None:
    async def go() -> list[str]:
        path = tmp_path / "meter.jsonl"
        ids = []
        for _ in range(2):
            async with SimServer(meter_path=path) as sim, connect(sim) as raw:
                ids.append((await raw.chat())[1]["x-request-id"])
                planted = sim.fault("stall_mid_stream")
                raw.send("POST", "/v1/chat/completions", chat_body("writer", stream=True))
                await planted.reached.wait()
                await sim.aclose()
        rows = [msgspec.json.decode(line, type=MeterRow) for line in path.read_bytes().splitlines()]
        assert [row.is_finished for row in rows] == [True, False, True, False]
        assert not any(row.disconnected for row in rows), "a shutdown is not the client's doing"
        assert [row.request_id for row in rows[::2]] == ids
        return ids

    assert len(set(asyncio.run(go()))) == 2


def test_prices_state_the_token_rule_and_every_model() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            answer = json.loads((await raw.ask("GET", "/prices"))[2])
            assert set(answer["prices"]) == set(sim.catalogue)
            assert answer["prices"]["writer"]["output_picos"] == sim.catalogue["writer"].price.output_picos
            assert answer["overhead"]["tokens_per_message"] == 3
            assert answer["overhead"]["tokens_per_tool"] == 8

    asyncio.run(go())


def test_waiting_for_a_row_finds_those_of_the_past_and_the_future() -> None:
    async def go() -> None:
        meter = Meter()
        fields: dict[str, Any] = {
            "request_id": "r",
            "attempt": "",
            "operation": "chat",
            "started_at_us": 0,
            "price": SimPrice(1, 1),
            "input_tokens": 1,
        }
        entry = meter.open(model="a", **fields)
        waiting = asyncio.create_task(meter.wait(lambda row: row.model == "a"))
        await asyncio.sleep(0)
        assert not waiting.done()
        entry.finish()
        entry.close(disconnected=False)
        assert await waiting is await meter.wait(lambda row: row.model == "a")
        meter.close()

    asyncio.run(go())


async def _ask(sim: SimServer, model: str, **fields: Any) -> bytes:
    async with connect(sim) as raw:
        return (await raw.chat(model, **fields))[2]
