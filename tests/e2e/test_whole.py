"""The whole product as real processes, on each database: chat, keys, an agent that is killed, bill, replay, trace."""

import json
from concurrent.futures import ThreadPoolExecutor

from .apps import SHOP
from .conftest import Open, kill, until

ECHO = {"model": "sim/echo", "messages": [{"role": "user", "content": "Hello."}]}


def test_a_killed_agent_finishes_and_its_bill_replay_and_trace_hold(site_on_either: Open) -> None:
    with site_on_either(app=SHOP) as s:
        serve = s.serve()
        s.worker(2)
        (s.folder / "hold-refund").touch()
        run = serve.start_run("keyed", "Refund order 81.")
        until((s.folder / "held-refund").exists, "the tool has acted")
        (s.folder / "hold-refund").unlink()
        kill(s.owner(serve, run))
        row = serve.run_in(run, "completed", "failed", "parked")
        assert (row["state"], "refunded" in row["output"]) == ("completed", True)
        assert [effect["requests"] for effect in s.effects()] == [2]  # asked twice with one key: done once
        bill = json.loads(s.cli("cost", "report", "--json"))
        assert (bill["settled_nanos"], bill["held_nanos"]) == (s.metered_nanos(), 0)
        assert "identical" in s.cli("replay", run, "--verify")
        assert "verified" in s.cli("trace", run, "--verify")


def test_chat_is_answered_recorded_and_billed_and_a_cap_is_not_passed_by_sixteen_clients(site_on_either: Open) -> None:
    with site_on_either() as s:
        s.cli("cost", "budget", "0.001", "--window", "total")
        serve = s.serve()
        first = serve.chat(ECHO)
        assert first.json["choices"][0]["message"]["content"] == "Hello."
        keyed = [serve.chat(ECHO, idempotency_key="k-1") for _ in range(3)]
        assert len({answer.body for answer in keyed}) == 1
        assert len({answer.headers["x-mooring-call"] for answer in keyed}) == 1
        assert [answer.headers.get("x-mooring-replayed") for answer in keyed] == [None, "true", "true"]
        assert len(s.meter()) == 2
        call = serve.get(f"/v1/calls/{first.headers['x-mooring-call']}")
        assert (call["state"], call["attempts"][0]["outcome"]) == ("completed", "completed")
        assert serve.get("/v1/bill")["settled_nanos"] == s.metered_nanos()

        body = ECHO | {"model": "sim/writer-40words", "max_tokens": 60}
        with ThreadPoolExecutor(16) as clients:
            answers = list(clients.map(lambda _: serve.chat(body), range(48)))
        assert {answer.status for answer in answers} == {200, 402}
        assert {answer.code for answer in answers if answer.status == 402} == {"budget_exceeded"}
        assert s.metered_nanos() <= 1_000_000
        bill = json.loads(s.cli("cost", "report", "--json"))
        assert (bill["settled_nanos"], bill["held_nanos"]) == (s.metered_nanos(), 0)
