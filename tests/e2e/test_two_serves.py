"""Two `serve` processes on one home: one upstream call for a key, one budget, and what a death of one leaves."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

from .conftest import Answer, Open, Site, until

ASK = {"model": "sim/echo", "messages": [{"role": "user", "content": "Ahoy."}]}
STREAMED = {**ASK, "stream": True}


def test_a_key_asked_at_both_at_once_makes_one_upstream_call(site_on_either: Open) -> None:
    with site_on_either() as s:
        serves = [s.serve(), s.serve()]
        with ThreadPoolExecutor(8) as clients:
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


def test_a_budget_is_exact_over_both(site_on_either: Open) -> None:
    with site_on_either() as s:
        serves = [s.serve(), s.serve()]
        s.cli("cost", "budget", "0.001", "--window", "total")
        body = {**ASK, "model": "sim/writer-40words", "max_tokens": 60}
        with ThreadPoolExecutor(16) as clients:
            answers = list(clients.map(lambda number: serves[number % 2].chat(body), range(64)))
        assert {answer.status for answer in answers} == {200, 402}
        assert s.metered_nanos() <= 1_000_000
        bill = json.loads(s.cli("cost", "report", "--json"))
        assert (bill["settled_nanos"], bill["held_nanos"]) == (s.metered_nanos(), 0)
        last = next(answer for answer in answers if answer.status == 402)
        assert serves[1].chat(body).status == last.status


def test_a_call_whose_serve_was_killed_is_uncertain_for_the_next_caller_until_it_is_resolved(
    site_on_either: Open,
) -> None:
    with site_on_either() as s, ThreadPoolExecutor(2) as clients:
        first, second = s.serve(), s.serve()
        for body, key in ((ASK, "plain"), (STREAMED, "streamed")):
            s.plant(kind="stall_first_byte", model="echo", release=key)
            before = s.asked_of_double()
            cut = clients.submit(first.chat, body, idempotency_key=key)
            until(lambda before=before: s.asked_of_double() > before, "the call is upstream")
            waiting = clients.submit(second.chat, body, idempotency_key=key)
            first.kill()
            assert isinstance(cut.exception(), OSError)
            call = check_uncertain(s, waiting.result(), is_stream=body is STREAMED)
            again = second.chat(body, idempotency_key=key)
            assert (again.status, again.code, again.headers["x-should-retry"]) == (409, "call_uncertain", "false")
            assert call in json.dumps(again.json)
            s.release(key)
            s.cli("runs", "resolve", call, "--as", "retry")
            fresh = second.chat(body, idempotency_key=key)
            assert fresh.status == 200
            assert fresh.headers["x-mooring-call"] != call
            assert json.loads(s.cli("runs", "uncertain", "--json")) == []
            first, second = second, s.serve()


def check_uncertain(s: Site, answer: Answer, *, is_stream: bool) -> str:
    """The one who waited is told too: as a 409, or within the stream that had begun."""
    if is_stream:
        assert answer.status == 200
        assert b"call_uncertain" in answer.body
    else:
        assert (answer.status, answer.code, answer.headers["x-should-retry"]) == (409, "call_uncertain", "false")
    listed = json.loads(s.cli("runs", "uncertain", "--json"))
    assert [entry["kind"] for entry in listed] == ["chat"]
    assert listed[0]["held_nanos"] > 0
    call: str = listed[0]["call_id"]
    assert call.encode() in answer.body
    return call


def events(answer: Answer) -> bytes:
    """The body without the keep-alives of one who waited."""
    lines = answer.body.split(b"\n\n")
    return b"\n\n".join(line for line in lines if not line.startswith(b": keep-alive"))
