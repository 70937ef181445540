"""Two `serve` processes on one home: one upstream call for a key, one budget, and what a death of one leaves."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

from .conftest import Answer, Open, until

ASK = {"model": "sim/echo", "messages": [{"role": "user", "content": "Ahoy."}]}
STREAMED = {**ASK, "stream": True}


def test_both_make_one_upstream_call_for_a_key_and_keep_one_budget(site_on_either: Open) -> None:
    with site_on_either() as s, ThreadPoolExecutor(16) as clients:
        s.cli("cost", "budget", "0.001", "--window", "total")
        serves = [s.serve(), s.serve()]
        for body, key in ((ASK, "plain"), (STREAMED, "streamed")):
            line = threading.Barrier(8)

            def ask(number: int, body: dict = body, key: str = key, line: threading.Barrier = line) -> Answer:
                line.wait()
                return serves[number % 2].chat(body, idempotency_key=key)

            answers = list(clients.map(ask, range(8)))
            assert [answer.status for answer in answers] == [200] * 8
            assert len({events(answer) for answer in answers}) == 1
            assert len({answer.headers["x-mooring-call"] for answer in answers}) == 1
        assert len(s.meter()) == 2

        body = {**ASK, "model": "sim/writer-40words", "max_tokens": 60}
        answers = list(clients.map(lambda number: serves[number % 2].chat(body), range(64)))
        assert {answer.status for answer in answers} == {200, 402}
        assert s.metered_nanos() <= 1_000_000
        bill = serves[0].get("/v1/bill")
        assert (bill["settled_nanos"], bill["held_nanos"]) == (s.metered_nanos(), 0)


def test_who_asks_elsewhere_while_the_call_runs_waits_and_gets_the_recorded_answer(site: Open) -> None:
    with site() as s, ThreadPoolExecutor(4) as clients:
        serves = [s.serve(), s.serve()]
        for body, key in ((ASK, "plain"), (STREAMED, "streamed")):
            s.plant(kind="stall_first_byte", model="echo", release=key)
            before = s.asked_of_double()
            first = clients.submit(serves[0].chat, body, idempotency_key=key)
            until(lambda before=before: s.asked_of_double() > before, "the call is upstream")
            second = clients.submit(serves[1].chat, body, idempotency_key=key)
            other = serves[1].chat({**body, "temperature": 0.5}, idempotency_key=key)
            assert (other.status, other.code) == (409, "key_reused")
            assert not second.done()
            s.release(key)
            assert events(first.result()) == events(second.result())
            assert second.result().headers["x-mooring-call"] == first.result().headers["x-mooring-call"]
        assert len(s.meter()) == 2


def test_a_call_whose_serve_was_killed_is_uncertain_for_the_next_caller_until_it_is_resolved(
    site_on_either: Open,
) -> None:
    with site_on_either() as s, ThreadPoolExecutor(4) as clients:
        first, second = s.serve(), s.serve()
        s.plant(kind="stall_first_byte", model="echo", release="cut", times=2)
        asked = {"plain": ASK, "streamed": STREAMED}
        cut = [clients.submit(first.chat, body, idempotency_key=key) for key, body in asked.items()]
        until(lambda: s.asked_of_double() == 2, "both calls are upstream")
        waiting = {key: clients.submit(second.chat, body, idempotency_key=key) for key, body in asked.items()}
        first.kill()
        assert all(isinstance(future.exception(), OSError) for future in cut)
        calls = {key: uncertain_in(future.result()) for key, future in waiting.items()}
        listed = json.loads(s.cli("runs", "uncertain", "--json"))
        assert [entry["kind"] for entry in listed] == ["chat", "chat"]
        assert all(entry["held_nanos"] > 0 for entry in listed)
        assert set(calls.values()) == {entry["call_id"] for entry in listed}
        s.release("cut")
        for key, body in asked.items():
            again = second.chat(body, idempotency_key=key)
            assert (again.status, again.code, again.headers["x-should-retry"]) == (409, "call_uncertain", "false")
            s.cli("runs", "resolve", calls[key], "--as", "retry")
            fresh = second.chat(body, idempotency_key=key)
            assert fresh.status == 200
            assert fresh.headers["x-mooring-call"] != calls[key]
        assert json.loads(s.cli("runs", "uncertain", "--json")) == []


def uncertain_in(answer: Answer) -> str:
    """The call that one who waited was told of: by a 409, or within the stream that had begun."""
    if answer.status != 200:
        assert (answer.status, answer.code, answer.headers["x-should-retry"]) == (409, "call_uncertain", "false")
    assert b"call_uncertain" in answer.body
    found = re.search(r"call_[0-9a-z]{26}", answer.body.decode())
    assert found is not None
    return found[0]


def events(answer: Answer) -> bytes:
    """The body without the keep-alives of one who waited."""
    lines = answer.body.split(b"\n\n")
    return b"\n\n".join(line for line in lines if not line.startswith(b": keep-alive"))
