"""Bytes that nobody meant: every parser that faces the outside answers with its own error, or with a value.

Bytes at random, and valid ones mutated. A small number of inputs here; `make fuzz N=…` mutates as many as it is told,
and `MOORING_FUZZ_INPUTS=200000 pytest -m soak tests/gateway/test_fuzz.py` takes as many of both.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mooring.core import ids
from mooring.core.clock import SystemClock
from mooring.core.errors import NotAuthenticated
from mooring.gateway.keys import Keys
from mooring.storage import Database

from . import fuzz
from .house import Secret
from .parsers import PARSERS, Parser, keys

FEW = 60
MANY = int(os.environ.get("MOORING_FUZZ_INPUTS", "200000"))

# Bytes at random rarely come past the first brace: half of the inputs are made of the words of the formats.
WORDS = st.sampled_from(
    [b"data: ", b"data:", b"event: message_start\n", b"id: 1\n", b"retry: 5\n", b": x\n", b"\n\n", b"\r\n\r\n", b"\r",
     b"[DONE]", b"{", b"}", b"[", b"]", b'"model":"m"', b'"messages":', b'"role":"user"', b'"content":', b'"text"',
     b'"type":', b'"stream":true', b'"choices":[{"index":0,"delta":{"content":"x"}}]', b'"usage":{"prompt_tokens":',
     b"-1", b"1e999", b"null", b"true", b",", b":", b'"\\ud800"', b"\xff", b"\xe2\x82", b"\x00", b"\xef\xbb\xbf",
     b'"parts":[', b'"contents":', b'"tool_calls":[{"index":', b'"input":', b'"max_tokens":', b'"n":', b'"tools":',
     b'{"model":"m","messages":[{"role":"user","content":"x"}]}', b"[" * 2000, b'{"a":' * 500]
)  # fmt: skip
BYTES = st.one_of(st.binary(max_size=300), st.lists(st.one_of(WORDS, st.binary(max_size=4)), max_size=25).map(b"".join))


def fuzzed(check: Callable[[bytes], None], inputs: int) -> None:
    """So many inputs through a check."""

    @settings(
        max_examples=inputs,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize=inputs == FEW,
    )
    @given(BYTES)
    @example(b"")
    @example(b"{}")
    @example(b'{"model":"m","messages":[]}')
    def run(data: bytes) -> None:
        check(data)

    run()


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_answers_any_bytes_with_a_value_or_its_own_error(name: str) -> None:
    fuzzed(PARSERS[name].check, FEW)
    fuzz.fuzz(name, PARSERS[name], 1, FEW)


@pytest.mark.soak
@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_answers_very_many_bytes(name: str) -> None:
    each = max(MANY // len(PARSERS), FEW + 1)
    fuzzed(PARSERS[name].check, each)
    fuzz.fuzz(name, PARSERS[name], 2, each)


def test_a_key_with_one_change_is_no_key(tmp_path: Path) -> None:
    with keys(tmp_path) as key:
        fuzz.fuzz("key", key, 1, FEW)


def test_a_parser_that_breaks_is_found_and_its_input_told(capsys: pytest.CaptureFixture[str]) -> None:
    def check(data: bytes) -> None:
        if b"null" in data:
            raise IndexError("of a list")

    assert fuzz.run({"broken": Parser((b'{"a":[1,"x"]}',), check)}, seed=1, count=300) == 1
    said = capsys.readouterr().out
    assert "BROKEN broken, seed 1, input " in said
    assert "null" in said


def test_the_same_seed_makes_the_same_inputs() -> None:
    samples = PARSERS["sse"].samples
    assert list(fuzz.inputs("sse", samples, 7, 200)) == list(fuzz.inputs("sse", samples, 7, 200))


def test_a_key_is_known_or_refused_whatever_its_characters(tmp_path: Path) -> None:
    async def scene() -> None:
        database = Database.open(f"sqlite:///{tmp_path / 'keys.db'}")
        try:
            keys = Keys(database, secrets=Secret(), clock=SystemClock(), new_id=ids.new_id)
            texts: list[str] = []

            @settings(max_examples=FEW, deadline=None, database=None, derandomize=True)
            @given(st.one_of(st.text(max_size=120), st.text(max_size=90).map(lambda text: "mr_" + text)))
            def collect(text: str) -> None:
                texts.append(text)

            collect()
            for text in texts:
                with pytest.raises(NotAuthenticated):
                    await keys.verify(text)
        finally:
            database.close()

    asyncio.run(scene())
