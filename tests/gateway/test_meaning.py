"""The cache by meaning: other words, the same answer, never across a project or anything else that shapes it."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mooring.core import ids
from mooring.gateway.config import GatewayConfig, ModelConfig
from mooring.gateway.deciding import deciding
from mooring.gateway.keys import Caller
from mooring.gateway.route_config import MeaningConfig
from mooring.journal import savings
from mooring.sim.embeddings import vector

from .house import Answer, House, another_serve, default_config, house, read, say

THRESHOLD = 0.9
NEAR, NEAR_AGAIN = (
    "how do I reset my password",
    "my password how do I reset",
)  # the double counts words, not their order
FAR = "where is the invoice of last month"
OTHER = Caller("other", ("call",), api_key_id=b"b" * 16)


def config(url: str, *, target: str = "sim/writer", **more: Any) -> GatewayConfig:
    meaning = MeaningConfig(model="sim/embed", threshold=THRESHOLD, **more)
    faq = ModelConfig(targets=(target,), cache_seconds=600, cache_meaning=meaning)
    return default_config(
        url, models={"faq": faq, "help": faq, "exact": faq.model_copy(update={"cache_meaning": None})}
    )


def ask(home: House, words: str, *, caller: Caller | None = None, headers: Any = None, **body: Any) -> Any:
    return home.ask(say(words, **{"model": "faq", **body}), caller=caller, **(headers or {}))


async def call_of(home: House, answer: Answer, project: str = "default") -> Any:
    return await home.journal.get_call(project, ids.read("call", answer.headers["x-mooring-call"]))


def asked(home: House, path: str) -> int:
    return sum(request.path == path for request in home.sim.requests)


def scene(path: Path, play: Any, **more: Any) -> None:
    async def run() -> None:
        async with house(path, **{"config": config, **more}) as home:
            await play(home)

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_in_other_words_gets_the_answer_for_nothing_and_says_from_where(
    tmp_path: Path, stream: bool
) -> None:
    async def play(home: House) -> None:
        first = await ask(home, NEAR, stream=stream)
        again = await ask(home, NEAR_AGAIN, stream=stream)
        assert asked(home, "/v1/chat/completions") == 1
        assert (again.headers["x-mooring-cache"], again.headers["x-mooring-cache-similarity"]) == ("hit", "1.0000")
        one, two = await call_of(home, first), await call_of(home, again)
        assert (two.state, two.settled_nanos, two.held_nanos, two.key) == ("completed", 0, 0, None)
        saved = {"call": ids.show("call", one.id), "saved_nanos": one.settled_nanos, "similarity": 1.0}
        assert two.attributes["cache"] == saved
        assert again.content_type == first.content_type
        if stream:
            assert (again.stream_text, again.data) == (first.stream_text, first.data)
        else:
            assert again.body == first.body
        assert await home.bill() == (await home.meter(), 0)  # the vectors are in the bill, as any other call

    scene(tmp_path, play)


def test_the_vectors_are_calls_with_their_cost_and_an_equal_question_needs_none(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        await ask(home, NEAR, headers={"x_mooring_user": "u_1", "x_mooring_tags": "shop"})
        await ask(home, NEAR, headers={"x_mooring_user": "u_1", "x_mooring_tags": "shop"})
        vectors = [call for call in await home.journal.list_calls("default") if call.kind == "embedding"]
        (one,) = vectors
        assert (one.user, one.tags, one.api_key_id) == ("u_1", ("shop",), home.caller.api_key_id)
        assert one.settled_nanos > 0
        chat = (await home.journal.list_calls("default"))[-1]
        assert one.trace_id == chat.trace_id
        found = await home.journal.read(lambda tx: savings.savings(tx, "default", 0))
        assert (found.answers, found.answers_by_meaning) == (1, 0)
        await ask(home, NEAR_AGAIN, headers={"x_mooring_user": "u_1"})
        found = await home.journal.read(lambda tx: savings.savings(tx, "default", 0))
        assert (found.answers, found.answers_by_meaning) == (2, 1)
        calls = await home.journal.list_calls("default")
        assert found.vectors_nanos == sum(call.settled_nanos for call in calls if call.kind == "embedding") > 0
        assert found.saved_nanos == found.answers_saved_nanos - found.vectors_nanos

    scene(tmp_path, play)


def test_whatever_else_differs_is_another_question(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        await ask(home, NEAR)
        tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
        image = [{"type": "text", "text": NEAR_AGAIN}, {"type": "image_url", "image_url": {"url": "data:image/png;,"}}]
        turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
        last = {"role": "user", "content": NEAR_AGAIN}
        for number, one in enumerate(
            [
                ask(home, FAR),
                ask(home, NEAR_AGAIN, caller=OTHER),
                ask(home, NEAR_AGAIN, headers={"x_mooring_user": "u_1"}),
                ask(home, NEAR_AGAIN, user="u_2"),
                ask(home, NEAR_AGAIN, temperature=0.5),
                ask(home, NEAR_AGAIN, max_tokens=50),
                ask(home, NEAR_AGAIN, seed=4),
                ask(home, NEAR_AGAIN, stream=True),
                ask(home, NEAR_AGAIN, model="help"),
                ask(home, NEAR_AGAIN, model="exact"),
                ask(home, NEAR_AGAIN, tools=[tool]),
                ask(home, NEAR_AGAIN, response_format={"type": "json_object"}),
                ask(home, NEAR_AGAIN, messages=[{"role": "system", "content": "be brief"}, last]),
                ask(home, NEAR_AGAIN, messages=[*turns, last]),
                ask(home, NEAR_AGAIN, messages=[{**last, "content": image}]),
                ask(home, NEAR_AGAIN, metadata={"tenant": "b"}),
                ask(home, NEAR_AGAIN + " 2", model="faq"),
                ask(home, NEAR_AGAIN, headers={"cache_control": "no-cache"}),
            ]
        ):
            assert "x-mooring-cache" not in (await one).headers, number
        assert (await ask(home, NEAR_AGAIN)).headers["x-mooring-cache"] == "hit"

    scene(tmp_path, play)


WORDS = st.lists(st.sampled_from(["reset", "my", "password", "2024"]), min_size=1, max_size=3)
ASK = st.fixed_dictionaries(
    {
        "project": st.sampled_from(["default", "default", "other"]),
        "user": st.sampled_from(["", "", "u_1"]),
        "system": st.sampled_from(["", "", "reset"]),
        "words": WORDS.map(" ".join),
        "stream": st.sampled_from([False, False, True]),
        "fails": st.sampled_from([None, None, None, "status", "close_mid_stream", "truncated_json", "blocked"]),
    }
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asks=st.lists(ASK, min_size=12, max_size=30))
def test_a_hit_is_of_its_own_scope_near_enough_and_of_a_whole_answer(tmp_path: Path, asks: list[Any]) -> None:
    numbered = itertools.count()
    folder = tmp_path / ids.new_id().hex()
    folder.mkdir()

    async def play(home: House) -> None:
        given_by_call: dict[str, Any] = {}
        for one in asks:
            first = next(numbered)
            messages = [{"role": "system", "content": one["system"]}] if one["system"] else []
            words = one["words"]
            if one["fails"] == "blocked":  # for the length of its answer, after that was paid
                words += " please" * 40
            elif one["fails"] is not None:
                home.sim.fault(one["fails"], model="echo")
            caller = OTHER if one["project"] == "other" else home.caller
            answer = await ask(
                home,
                words,
                caller=caller,
                headers={"x_mooring_user": one["user"]} if one["user"] else {},
                messages=[*messages, {"role": "user", "content": words}],
                stream=one["stream"],
            )
            home.sim.faults.clear()
            call = answer.headers["x-mooring-call"]
            if answer.headers.get("x-mooring-cache") != "hit":
                is_whole = (await call_of(home, answer, one["project"])).state == "completed"
                given_by_call[call] = (first, {**one, "words": words}, is_whole)
                continue
            record = await call_of(home, answer, one["project"])
            _, source, is_whole = given_by_call[record.attributes["cache"]["call"]]
            assert is_whole
            for name in ("project", "user", "system", "stream"):
                assert source[name] == one[name]
            assert deciding(source["words"]) == deciding(words)
            pair = zip(vector(source["words"], 64), vector(words, 64), strict=True)
            assert sum(a * b for a, b in pair) >= THRESHOLD - 1e-4

    checks = ({"type": "size_limit", "max_response_bytes": 200},)
    scene(folder, play, config=lambda url: config(url, target="sim/echo"), checks=checks)


def test_a_threshold_that_is_not_reached_is_no_hit(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        await ask(home, "reset my password please")
        await ask(home, "reset my password today")
        assert asked(home, "/v1/chat/completions") == 2

    scene(tmp_path, play)


def test_without_vectors_calls_go_on_and_an_equal_question_is_still_answered_again(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        home.sim.fault("status", model="embed", times=10)
        home.sim.fault("reset_before_headers", model="embed", times=10)
        for words in (NEAR, NEAR_AGAIN):
            answer = await ask(home, words)
            assert (answer.status, "x-mooring-cache" in answer.headers) == (200, False)
        assert (await ask(home, NEAR)).headers["x-mooring-cache"] == "hit"

    scene(tmp_path, play)


def test_a_model_of_vectors_that_never_answers_is_not_waited_for(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        home.sim.fault("stall_first_byte", model="embed", release="late")
        assert (await ask(home, NEAR)).status == 200
        home.sim.faults.release()

    scene(tmp_path, play, config=lambda url: config(url, patience_seconds=0.05))


def test_what_is_forgotten_answers_nobody_and_its_vector_is_gone(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        headers = {"x_mooring_user": "u_1"}
        await ask(home, NEAR, headers=headers)
        assert (await ask(home, NEAR_AGAIN, headers=headers)).headers["x-mooring-cache"] == "hit"
        await home.journal.forget_user("default", "u_1")
        for call in await home.journal.list_calls("default"):
            assert await home.journal.get_body("default", call.id) == b""
        assert "x-mooring-cache" not in (await ask(home, NEAR_AGAIN, headers=headers)).headers

    scene(tmp_path, play)


def test_another_process_knows_the_question_from_the_journal_alone(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        await ask(home, NEAR)
        embedded = asked(home, "/v1/embeddings")
        async with another_serve(home, config(home.sim.url)) as gateway:
            answer = await read(await gateway.chat(home.inbound(say(NEAR_AGAIN, model="faq"))))
        assert answer.headers["x-mooring-cache"] == "hit"
        assert asked(home, "/v1/embeddings") == embedded + 1  # the new question's; the old one's was read

    scene(tmp_path, play)


def test_a_caller_cannot_take_the_keys_of_the_cache(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        for key in ("cache/meaning/x/y", "cache/vector/x"):
            assert (await ask(home, NEAR, headers={"idempotency_key": key})).status == 403

    scene(tmp_path, play)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("How do I turn it on?", "How do I turn it off?", False),
        ("What came before Norman?", "What came after Norman?", False),
        ("Where did Kublai move?", "When did Kublai move?", False),
        ("Is it free?", "Isn't it free?", False),
        ("The price in 2024", "The price in 2025", False),
        ("Flights to Oslo", "Flights to Rome", False),
        ("How do I reset my password?", "How can I reset the password?", True),
        ("What's the price of Oslo's plan?", "What is the cost of the plan of Oslo?", True),
        ("Tell me the price of the Basic plan", "tell me, the cost of the Basic plan?", True),
    ],
)
def test_some_words_decide_a_question_however_near_it_is(one: str, other: str, is_same: bool) -> None:
    assert (deciding(one) == deciding(other)) is is_same


def test_a_route_by_meaning_needs_an_end_and_one_model_of_vectors() -> None:
    with pytest.raises(ValidationError, match="cache_meaning needs cache_seconds"):
        ModelConfig(targets=("sim/writer",), cache_meaning=MeaningConfig())
    faq = ModelConfig(targets=("sim/writer",), cache_seconds=1, cache_meaning=MeaningConfig(model="both"))
    both = ModelConfig(targets=("sim/embed", "local/minilm"))
    with pytest.raises(ValidationError, match="'both' has several targets"):
        default_config("http://127.0.0.1:1", models={"faq": faq, "both": both})
    with pytest.raises(ValidationError, match="unknown provider 'locl'"):
        mistyped = MeaningConfig(model="locl/minilm")
        default_config("http://127.0.0.1:1", models={"faq": faq.model_copy(update={"cache_meaning": mistyped})})
