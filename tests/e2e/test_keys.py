"""What a caller with a key gets, row by row of the design's table, through the official SDK and its own retries."""

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from .conftest import Serve, Site, site_on, until

GUARDS = """
[[guardrails.checks]]
type = "tool_allow_list"
allow = ["look_*"]
"""
TOOL = {"type": "function", "function": {"name": "erase", "parameters": {"type": "object"}}}


class Sdk:
    """The SDK on one serve; `sent` counts what it puts on the wire, its own retries included."""

    def __init__(self, serve: Serve, **options: Any) -> None:
        self.sent = 0
        self.http = openai.DefaultHttpxClient(event_hooks={"request": [self._count]})
        self.client = openai.OpenAI(base_url=f"{serve.url}/v1", api_key=serve.key, http_client=self.http, **options)

    def _count(self, _: object) -> None:
        self.sent += 1

    def ask(self, key: str | None, text: str = "Hello.", *, model: str = "sim/echo", **fields: Any) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        messages = [{"role": "user", "content": text}]
        return self.client.chat.completions.create(model=model, messages=messages, extra_headers=headers, **fields)


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Site, Serve]]:
    """One site for the whole file: each test has a key of its own."""
    with tempfile.TemporaryDirectory(prefix="mooring-e2e-") as folder:
        with site_on(Path(folder), None, more=GUARDS) as s:
            yield s, s.serve()


@pytest.fixture
def sdk(place: tuple[Site, Serve]) -> Iterator[Sdk]:
    found = Sdk(place[1])
    yield found
    found.client.close()


def upstream(s: Site) -> int:
    return s.asked_of_double()


def test_completed_gives_the_recorded_answer(place: tuple[Site, Serve], sdk: Sdk) -> None:
    before = upstream(place[0])
    first, again = sdk.ask("completed"), sdk.ask("completed")
    assert first == again
    assert upstream(place[0]) == before + 1


def test_completed_gives_a_stream_as_the_stream_it_was(place: tuple[Site, Serve], sdk: Sdk) -> None:
    before = upstream(place[0])
    options = {"include_usage": True}
    ask = lambda: list(sdk.ask("completed-stream", stream=True, stream_options=options))  # noqa: E731
    first, again = ask(), ask()
    assert first == again
    assert first[-1].usage is not None
    assert upstream(place[0]) == before + 1


def test_running_here_gives_its_events_from_the_first_then_live(place: tuple[Site, Serve], sdk: Sdk) -> None:
    s, _ = place
    before = upstream(s)
    s.plant(kind="stall_mid_stream", model="writer-20words", after_events=3, release="live")
    ask = lambda: sdk.ask("running", model="sim/writer-20words", stream=True)  # noqa: E731
    with ask() as first, ask() as second:
        heads = [[next(stream) for _ in range(3)] for stream in (first, second)]
        assert heads[0] == heads[1]
        s.release("live")
        rest = [list(stream) for stream in (first, second)]
    assert rest[0] == rest[1]
    assert rest[0][-1].choices[0].finish_reason == "stop"
    assert upstream(s) == before + 1


def test_running_here_unstreamed_is_joined(place: tuple[Site, Serve], sdk: Sdk) -> None:
    s, _ = place
    before = upstream(s)
    s.plant(kind="stall_first_byte", model="echo", release="joined")
    with ThreadPoolExecutor(2) as clients:
        answers = [clients.submit(sdk.ask, "joined") for _ in range(2)]
        until(lambda: upstream(s) > before, "the call is upstream")
        until(lambda: sdk.sent == 2, "both have asked")
        s.release("joined")
        assert answers[0].result() == answers[1].result()
    assert upstream(s) == before + 1


def test_blocked_gives_the_recorded_error(place: tuple[Site, Serve], sdk: Sdk) -> None:
    before = upstream(place[0])
    errors = []
    for _ in range(2):
        with pytest.raises(openai.BadRequestError) as caught:
            sdk.ask("blocked", tools=[TOOL])
        errors.append(caught.value)
    assert errors[0].body == errors[1].body
    assert errors[0].code == "content_blocked"
    assert [error.response.headers.get("x-mooring-replayed") for error in errors] == [None, "true"]
    assert (sdk.sent, upstream(place[0])) == (2, before)


def test_failed_after_it_was_paid_gives_the_recorded_error_to_the_sdks_retries_too(
    place: tuple[Site, Serve], sdk: Sdk
) -> None:
    s, _ = place
    before = upstream(s)
    s.plant(kind="truncated_json", model="echo-paid")
    for _ in range(2):
        with pytest.raises(openai.InternalServerError) as caught:
            sdk.ask("paid", model="sim/echo-paid")
        assert caught.value.code == "upstream_malformed"
        assert caught.value.response.headers["x-mooring-replayed"] == "true"
    assert (sdk.sent, upstream(s)) == (6, before + 1)


def test_failed_unpaid_frees_the_key_and_the_sdks_own_retry_is_answered(place: tuple[Site, Serve], sdk: Sdk) -> None:
    s, _ = place
    before = upstream(s)
    s.plant(kind="status", status=503, model="echo-unpaid", times=2)  # the gateway tries twice, then says so
    answer = sdk.ask("unpaid", model="sim/echo-unpaid")
    assert answer.choices[0].message.content == "Hello."
    assert (sdk.sent, upstream(s)) == (2, before + 3)
    assert sdk.ask("unpaid", model="sim/echo-unpaid") == answer


def test_another_body_is_refused_and_the_sdk_does_not_try_again(place: tuple[Site, Serve], sdk: Sdk) -> None:
    sdk.ask("bound")
    with pytest.raises(openai.ConflictError) as caught:
        sdk.ask("bound", "Something else.")
    assert caught.value.code == "key_reused"
    assert sdk.sent == 2


def test_an_sdk_that_times_out_and_asks_again_joins_the_call_that_it_began(place: tuple[Site, Serve]) -> None:
    s, serve = place
    before = upstream(s)
    impatient = Sdk(serve, timeout=0.4, max_retries=20)
    s.plant(kind="stall_first_byte", model="echo", release="impatient")
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(impatient.ask, "impatient")
        until(lambda: impatient.sent >= 3, "the SDK has tried three times")
        s.release("impatient")
        assert answer.result().choices[0].message.content == "Hello."
    assert upstream(s) == before + 1
    impatient.client.close()


def test_without_a_key_the_sdks_own_retry_is_a_new_call(place: tuple[Site, Serve], sdk: Sdk) -> None:
    s, _ = place
    before = upstream(s)
    s.plant(kind="truncated_json", model="echo-keyless")
    assert sdk.ask(None, model="sim/echo-keyless").choices[0].message.content == "Hello."
    assert (sdk.sent, upstream(s)) == (2, before + 2)


def test_uncertain_is_a_409_that_the_sdk_takes_at_its_word(place: tuple[Site, Serve]) -> None:
    s, serve = place
    other = s.serve()
    doomed, patient = Sdk(other, max_retries=0), Sdk(serve)
    before = upstream(s)
    s.plant(kind="stall_first_byte", model="echo", release="doomed")
    with ThreadPoolExecutor(1) as clients:
        cut = clients.submit(doomed.ask, "uncertain")
        until(lambda: upstream(s) > before, "the call is upstream")
        other.kill()
        assert isinstance(cut.exception(), openai.APIConnectionError)
    with pytest.raises(openai.ConflictError) as caught:
        patient.ask("uncertain")
    assert caught.value.code == "call_uncertain"
    assert "call_" in caught.value.message
    assert (patient.sent, upstream(s)) == (1, before + 1)
    s.release("doomed")
    for one in (doomed, patient):
        one.client.close()


def test_a_follower_elsewhere_gets_keep_alives_that_the_sdk_bears(place: tuple[Site, Serve], sdk: Sdk) -> None:
    s, _ = place
    elsewhere = Sdk(s.serve())
    s.plant(kind="stall_mid_stream", model="writer-9words", after_events=2, release="far")
    with sdk.ask("far", model="sim/writer-9words", stream=True) as first:
        head = next(first)
        opened = threading.Event()

        def follow() -> list[Any]:
            with elsewhere.ask("far", model="sim/writer-9words", stream=True) as second:
                opened.set()  # the head has come, so a keep-alive has
                return list(second)

        with ThreadPoolExecutor(1) as clients:
            second = clients.submit(follow)
            assert opened.wait(30)
            s.release("far")
            assert [head, *first] == second.result()
    elsewhere.client.close()
