"""Deltas, never whole inputs: a step costs the same bytes at any length, and every body comes back byte for byte."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core.ids import new_id
from mooring.journal import Journal, NewRun, RunRef
from mooring.journal.contents import frame_of

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
            assert counts["elements"] == len(elements)
            assert counts["contents"] == (1 if turn == 0 or len(separator) == 0 else counts["contents"])
        assert (await journal.counts())["contents"] <= 2
        for call_id, whole in bodies.items():
            assert await journal.get_request(PROJECT, call_id) == whole

    asyncio.run(scene())


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
