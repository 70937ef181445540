"""The tour: what really happened, told in about twenty lines. A step that does not hold ends it with an error."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mooring.client import Answer, Client, Finished, TextDelta
from mooring.core.errors import MooringError
from mooring.core.money import show_usd
from mooring.processes.up import pid_of
from mooring.rag import IngestReport
from mooring.wiring import build

from .demo import HANDBOOK, Demo

QUESTION = "Until when can a customer return an unused item?"
COLLECTION = "demo"
WAIT_SECONDS = 60.0


class StepFailed(MooringError):
    """A step of the tour did not hold."""

    code = "tour_failed"


class Tour:
    """One walk through a running demo. `say` gets each line."""

    def __init__(self, demo: Demo, say: Callable[[str], None], *, docs: Path | None) -> None:
        self.demo = demo
        self.say = say
        self.docs = docs
        self.client = Client(demo.up.endpoint.url, demo.up.endpoint.key)
        self.run_id = ""

    def walk(self) -> None:
        """All steps, in order.

        Raises:
            StepFailed: one did not hold; the message says which and what was seen.
        """
        self.say(f"serve and two workers run at {self.demo.up.endpoint.url}; data in {self.demo.home.path}")
        self.say("built in: local/reader, which quotes. simulated: sim/*, which bills like a vendor. nothing is spent.")
        spent, metered = self.bill(), self.metered()
        self.documents()
        self.ask()
        self.stream()
        self.outage()
        self.crash()
        self.compare_bills(self.bill() - spent, self.metered() - metered)
        self.verb("replay", self.run_id, "--verify")
        self.verb("trace", self.run_id, "--verify")

    def documents(self) -> None:
        source = self.docs or HANDBOOK
        report = asyncio.run(self._ingest(source))
        expect(report.chunks > 0, f"{source} holds no readable text: {report.unreadable}")
        total = report.added + report.changed + report.unchanged
        self.say(
            f"documents: {total} files of {source.name}/, {report.chunks} passages "
            f"({report.added} new, {report.unchanged} unchanged, {len(report.unreadable)} unreadable)"
        )
        for path, reason in list(report.unreadable.items())[:3]:
            self.say(f"  not read: {path}: {reason}")

    async def _ingest(self, source: Path) -> IngestReport:
        async with build(self.demo.config, self.demo.home, kind="cli") as rooms:
            return await rooms.rag.ingest("default", COLLECTION, source)

    def ask(self) -> None:
        question = QUESTION if self.docs is None else self.question_about()
        answer = self.client.ask(question, collection=COLLECTION)
        expect(answer.is_answered and bool(answer.citations), f"no cited answer to '{question}': {answer.text}")
        self.say(f"question: {question}")
        self.say(f"answer:   {' '.join(answer.text.split())[:200]}")
        for citation in answer.citations[:2]:
            self.check_citation(answer, citation)
            section = f" § {citation.section}" if citation.section else ""
            self.say(
                f"  [{citation.number}] {citation.path}{section}, characters {citation.start}-{citation.end}: verified"
            )

    def question_about(self) -> str:
        """A question that the first documents can answer: about their first words, whatever they are."""
        for query in ("the", "and", "a", "is", "1"):
            with contextlib.suppress(MooringError):
                hits = self.client.search(query, collection=COLLECTION, limit=5)
                for hit in hits:
                    sentence = max(re.split(r"(?<=[.!?])\s", hit.text), key=len)
                    words = [word for word in re.findall(r"\w+", sentence) if len(word) > 3]
                    if len(words) > 3:
                        return f"What about {' '.join(words[:8])}?"
        raise StepFailed("No passage has a sentence to ask about.", hint="Give DOCS= a folder of text or Markdown.")

    def check_citation(self, answer: Answer, citation: Any) -> None:
        """The citation's characters are where it says, in the file as it is on the disk."""
        source = self.docs or HANDBOOK
        file = source if source.is_file() else source / citation.path
        text = file.read_bytes().decode("utf-8-sig")
        expect(text[citation.start : citation.end] == citation.text, f"citation {citation} does not resolve in {file}")

    def stream(self) -> None:
        pieces, cost = 0, None
        for event in self.client.stream("Tell me about moorings.", model="sim/writer-30words-2ms"):
            pieces += isinstance(event, TextDelta)
            if isinstance(event, Finished):
                expect(event.state == "completed", f"the stream ended with {event}")
                cost = event.completion.cost_nanos if event.completion else None
        expect(pieces > 1, "the stream came in one piece")
        expect(cost is not None, "the stream told no cost")
        self.say(f"stream: {pieces} pieces as they were generated, cost {show_usd(cost or 0)} told before its end")

    def outage(self) -> None:
        completion = self.client.chat("Are you there?", model="steady")
        call = self.client.calls.get(completion.call_id or "").raw
        told = ", ".join(f"{attempt['target']} {attempt['outcome']}" for attempt in call["attempts"])
        expect(len(call["attempts"]) > 1 and call["state"] == "completed", f"no fallback was seen: {told}")
        self.say(f"outage: {told}; the caller saw one answer")

    def crash(self) -> None:
        effects = len(self.effects())
        order = f"order {int(time.time()) % 100_000}"
        run = self.client.runs.start("support", f"My {order} came broken, please refund it.", user="u_42")
        self.run_id = run.id
        pid = None
        for fact in self.client.runs.events(run.id):
            if fact.kind == "tool.started" and "refund" in json.dumps(fact.data):
                pid = pid_of(self.demo.home, self.get(f"/v1/runs/{run.id}")["worker"])
                break
        expect(pid is not None, "the run never came to its refund")
        self.await_effect(effects)
        os.kill(pid or 0, signal.SIGKILL)
        killed_at_us = time.time_ns() // 1000
        self.say(f"agent: {run.id} was refunding {order} when its worker (pid {pid}) was killed with -9")
        self.wait(run.id)
        state = self.get(f"/v1/runs/{run.id}")
        expect(state["state"] == "completed", f"the run is {state['state']}: {state['error']}")
        events = self.get(f"/v1/runs/{run.id}/events")["data"]
        after = [event["at_us"] for event in events if event["at_us"] > killed_at_us]
        done = self.effects()[effects:]
        expect(len(done) == 1, f"the refund happened {len(done)} times")
        self.say(
            f"  the other worker went on after {(after[0] - killed_at_us) / 1e6:.2f} s and finished; "
            f"the refund was asked for {done[0]['requests']} times and done once"
        )
        self.say(f"  {' '.join(str(state['output']).split())[:140]}")

    def await_effect(self, before: int) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while len(self.effects()) == before:
            expect(time.monotonic() < deadline, "the refund never reached the shop")
            time.sleep(0.01)

    def wait(self, run: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while self.get(f"/v1/runs/{run}")["state"] in ("queued", "running", "waiting"):
            expect(time.monotonic() < deadline, f"{run} did not end within {WAIT_SECONDS:.0f} s")
            time.sleep(0.02)

    def compare_bills(self, settled: int, metered: int) -> None:
        expect(settled == metered, f"the bill says {show_usd(settled)}, the provider's meter {show_usd(metered)}")
        self.say(
            f"bill: {show_usd(settled)} settled, {show_usd(metered)} on the provider's meter: equal to the nano-dollar"
        )

    def verb(self, *arguments: str) -> None:
        """A verb of the command line, as a user would run it; its output is part of the tour."""
        done = subprocess.run(  # our own program with arguments that we made
            [sys.executable, "-m", "mooring", *arguments], capture_output=True, text=True, check=False
        )
        expect(done.returncode == 0, f"mooring {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        self.say(f"mooring {' '.join(arguments)}:")
        for line in done.stdout.rstrip().splitlines():
            self.say(f"  {line}")

    def bill(self) -> int:
        """Nano-dollars settled for the simulated provider."""
        lines = self.get("/v1/bill")["lines"]
        return sum(line["settled_nanos"] for line in lines if line["target"].startswith("sim/"))

    def metered(self) -> int:
        total: int = self.read(f"{self.demo.sim_url}/meter/totals")["cost_nanos"]
        return total

    def effects(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.read(f"{self.demo.sim_url}/effects")["effects"]
        return found

    def get(self, path: str) -> Any:
        return self.read(self.demo.up.endpoint.url + path, self.demo.up.endpoint.key)

    def read(self, url: str, key: str | None = None) -> Any:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # our own processes, on loopback
            return json.load(answer)


def expect(holds: bool, seen: str) -> None:
    """Raises `StepFailed` with what was seen, unless it holds."""
    if not holds:
        raise StepFailed(f"The tour stopped: {seen}", hint="This is a defect: please report it with the lines above.")
