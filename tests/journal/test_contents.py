"""Deltas, never whole inputs: a step costs the same bytes at any length, and every body comes back byte for byte."""

import asyncio
import random
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core.ids import new_id
from mooring.core.money import Price
from mooring.journal import Journal, NewRun, RunRef
from mooring.journal.contents import frame_of
from mooring.journal.repository import erasing
from mooring.journal.repository.attempts import price_of, price_text
from mooring.storage import Database

PROJECT = "default"


async def a_run(journal: Journal) -> RunRef:
    await journal.create_run(NewRun(id=new_id(), project_id=PROJECT, handler="h", name="n", input=b""))
    run = await journal.claim_run(["h"])
    assert run is not None
    return RunRef(run_id=run.id, epoch=run.epoch, step="1")


@pytest.mark.parametrize("separator", [b",", b" ,\n  ", b",\t"])
def test_a_conversation_that_grows_adds_only_what_is_new(journal: Journal, words: Any, separator: bytes) -> None:
    async def scene() -> None:
        step = await a_run(journal)
        elements: list[bytes] = []
        bodies: dict[bytes, tuple[bytes, tuple[bytes, ...]]] = {}
        for turn in range(30):
            elements += [b'{"role":"user","content":"%d"}' % turn, b'{"role":"assistant","content":"%d!"}' % turn]
            body = b'{"model":"fast","messages": [' + separator.join(elements) + b'],"temperature":1e0 }'
            call = words.call(run=step, request_body=body, request_elements=tuple(elements))
            await journal.record_call(call, words.answer())
            bodies[call.id] = (body, tuple(elements))
            counts = await journal.counts()
            assert counts["elements"] == turn + 2  # the first message has a row of its own, then each step
            assert counts["contents"] == 1  # the frame, which is the same every time
        for call_id, whole in bodies.items():
            assert await journal.get_request(PROJECT, call_id) == whole

    asyncio.run(scene())


def test_a_small_frame_lies_in_its_calls_own_row(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        step = await a_run(journal)
        call = words.call(run=step, request_body=b'{"m":["a", "b"]}', request_elements=(b'"a"', b'"b"'))
        await journal.record_call(call, words.answer())
        assert (await journal.counts())["contents"] == 0
        assert await journal.get_request(PROJECT, call.id) == (call.request_body, call.request_elements)

    asyncio.run(scene())


@pytest.mark.parametrize("seed", range(6))
def test_conversations_that_fork_anywhere_read_back_until_the_last_is_deleted(
    journal: Journal, database: Database, words: Any, seed: int
) -> None:
    draw = random.Random(seed)

    def longer(elements: tuple[bytes, ...]) -> tuple[bytes, ...]:
        kept = elements[: draw.randint(0, len(elements))]
        return (*kept, *(b'"%d%s"' % (draw.randint(0, 3), b"x" * draw.choice((1, 700, 3000))) for _ in range(3)))

    async def scene() -> None:
        step = await a_run(journal)
        said: dict[bytes, tuple[bytes, ...]] = {}
        for _ in range(30):
            elements = longer(draw.choice([(), *said.values()]))
            call = words.call(run=step, request_body=b"[" + b",".join(elements) + b"]", request_elements=elements)
            await journal.record_call(call, words.answer())
            said[call.id] = elements
        most = (await journal.counts())["elements"]
        assert most < sum(map(len, said.values()))
        for call_id in draw.sample(list(said), len(said)):
            for other, elements in said.items():
                assert (await journal.get_request(PROJECT, other))[1] == elements
            database.write(partial(erasing.delete_call, project_id=PROJECT, call_id=call_id)).result()
            del said[call_id]
        assert (await journal.counts())["elements"] == 0

    asyncio.run(scene())


def test_a_price_comes_back_from_its_row_as_it_was_and_a_plain_one_is_short() -> None:
    for price in (
        Price(),
        Price(input_picos=250_000, output_picos=2_000_000),
        Price(source="free"),
        Price(input_picos=1, cached_input_picos=0, request_nanos=5, source="mooring.toml"),
        Price(1, 2, 3, 4, 5, 6, 7, 8, "all", 9, "image"),
    ):
        assert price_of(price_text(price)) == price
    assert price_text(Price(input_picos=250_000, output_picos=2_000_000)) == '["",250000,2000000]'


def test_a_body_whose_elements_are_not_slices_of_it_is_kept_whole(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        step = await a_run(journal)
        body = b'{"messages":[{"a": 1},  {"b": 2}, {"c":3}]}'
        elements = (b'{"a":1}', b'{"b":2}', b'{"c":3}')
        call = words.call(run=step, request_body=body, request_elements=elements)
        await journal.record_call(call, words.answer())
        assert await journal.get_request(PROJECT, call.id) == (body, elements)

    asyncio.run(scene())


def test_an_element_of_a_mebibyte_goes_to_the_blobs(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        step = await a_run(journal)
        elements = (b'"%s"' % (b"i" * (1 << 20)), b'"b"')
        call = words.call(run=step, request_body=b"[" + b",".join(elements) + b"]", request_elements=elements)
        await journal.record_call(call, words.answer())
        assert await journal.get_request(PROJECT, call.id) == (call.request_body, elements)

    asyncio.run(scene())


@given(
    st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=6),
    st.binary(max_size=6),
    st.binary(max_size=3),
    st.binary(max_size=6),
)
def test_a_frame_and_its_elements_always_give_the_body_back(
    elements: list[bytes], head: bytes, separator: bytes, tail: bytes
) -> None:
    body = head + separator.join(elements) + tail
    frame = frame_of(body, elements)
    if frame is not None:
        assert frame.head + frame.separator.join(elements) + frame.tail == body
