"""The tour: what really happened, told in about twenty lines. A step that does not hold ends it with an error."""

import asyncio
import contextlib
import html
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

from mooring.client import Answer, Citation, Client, Finished, TextDelta
from mooring.core.errors import MooringError
from mooring.core.money import show_usd
from mooring.core.text import shorten
from mooring.processes.up import pid_of
from mooring.rag import IngestReport
from mooring.rag.ingest import Progress
from mooring.server.ui.tour import Thing, Told, keep
from mooring.wiring import build

from .demo import HANDBOOK, Demo

QUESTION = "Until when can a customer return an unused item?"
COLLECTION = "demo"
DOCS_COLLECTION = "docs"
MOST_QUESTIONS = 12
TRIES = 5
WAIT_SECONDS = 60.0


class StepFailed(MooringError):
    """A step of the tour did not hold."""

    code = "tour_failed"


class Tour:
    """One walk through a running demo. `say` gets each line; `started_at` is when the command began (monotonic)."""

    def __init__(
        self,
        demo: Demo,
        say: Callable[[str], None],
        *,
        docs: Path | None,
        progress: Progress | None = None,
        started_at: float | None = None,
    ) -> None:
        self.progress = progress
        self.demo = demo
        self.say = say
        self.docs = docs
        self.collection = COLLECTION if docs is None else DOCS_COLLECTION
        self.client = Client(demo.up.endpoint.url, demo.up.endpoint.key)
        self.run_id = ""
        self.things: list[Thing] = []
        self.started_at = time.monotonic() if started_at is None else started_at

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
        self.replay()
        self.trace()
        self.open_pages()

    def documents(self) -> None:
        source = self.docs or HANDBOOK
        if self.docs is not None:
            asyncio.run(self._ingest(COLLECTION, HANDBOOK))  # what the agent of the tour searches
        report = asyncio.run(self._ingest(self.collection, source, self.progress))
        expect(report.chunks > 0, f"{source} holds no readable text: {report.unreadable}")
        total = report.added + report.changed + report.unchanged
        self.say(
            f"documents: {total} files of {source.name}/, {report.chunks} passages "
            f"({report.added} new, {report.unchanged} unchanged, {len(report.unreadable)} unreadable)"
        )
        if report.unembedded_reason:
            self.say(f"  found by their words alone: {report.unembedded_reason}")
        for path, reason in list(report.unreadable.items())[:3]:
            self.say(f"  not read: {path}: {reason}")

    async def _ingest(self, collection: str, source: Path, progress: Progress | None = None) -> IngestReport:
        async with build(self.demo.config, self.demo.home, kind="cli") as rooms:
            return await rooms.rag.ingest("default", collection, source, progress=progress)

    def ask(self) -> None:
        question, answer = self.answered()
        seconds = time.monotonic() - self.started_at
        self.say(f"question: {question}")
        self.say(f"answer:   {' '.join(answer.text.split())[:200]}  (cited, {seconds:.1f} s after the start)")
        for citation in answer.citations[:2]:
            self.check_citation(citation)
            self.say(f"  [{citation.number}] {place_of(citation)}: verified")
        first = answer.citations[0]
        trace_id = self.get(f"/v1/calls/{answer.call_id}")["trace_id"]
        self.did(
            "A cited answer", f"“{question}” {shorten(answer.text, 160)}", f"/ui/ask/{trace_id}", question, "verified"
        )
        self.did(
            "Its source, with the cited words marked",
            f"{place_of(first)}.",
            f"/ui/documents/{first.document_id}?start={first.start}&end={first.end}#mark",
            first.text,
            "Cited: characters",
        )

    def answered(self) -> tuple[str, Answer]:
        """The first question that has a cited answer: of one's own documents nobody knows what they say."""
        asked = [QUESTION] if self.docs is None else self.questions()
        for question in asked:
            answer = self.client.ask(question, collection=self.collection)
            if answer.is_answered and answer.citations:
                return question, answer
        raise StepFailed(
            f"None of these has a cited answer: {asked}", hint="Is there readable text? mooring documents list"
        )

    def questions(self) -> list[str]:
        """Questions that the documents can answer: in the words of their own sentences."""
        found: list[str] = []
        for query in ("the", "and", "a", "is", "1"):
            with contextlib.suppress(MooringError):
                for hit in self.client.search(query, collection=self.collection, limit=5):
                    sentence = max(re.split(r"(?<=[.!?])\s", hit.text), key=len)
                    words = [word for word in re.findall(r"\w+", sentence) if len(word) > 3]
                    if len(words) > 3:
                        found.append(f"What about {' '.join(words[:8])}?")
        expect(bool(found), "no passage has a sentence to ask about")
        return found[:MOST_QUESTIONS]

    def check_citation(self, citation: Citation) -> None:
        """The cited characters are in the stored text, and of plain text in the file as it is on the disk."""
        stored = self.get(f"/v1/collections/{self.collection}/documents/{citation.document_id}")["text"]
        texts = [stored]
        source = self.docs or HANDBOOK
        file = source if source.is_file() else source / citation.path
        if file.suffix in (".md", ".txt"):
            texts.append(file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n"))
        for text in texts:
            expect(
                text[citation.start : citation.end] == citation.text, f"citation {citation} does not resolve in {file}"
            )

    def stream(self) -> None:
        pieces, cost, call_id = 0, None, ""
        for event in self.client.stream("Tell me about moorings.", model="sim/writer-30words-2ms"):
            pieces += isinstance(event, TextDelta)
            if isinstance(event, Finished):
                expect(event.state == "completed", f"the stream ended with {event}")
                cost = event.completion.cost_nanos if event.completion else None
                call_id = (event.completion.call_id if event.completion else None) or ""
        expect(pieces > 1, "the stream came in one piece")
        expect(cost is not None, "the stream told no cost")
        told = f"{pieces} pieces as they were generated, cost {show_usd(cost or 0)} told before its end"
        self.say(f"stream: {told}")
        self.did("A stream", f"{told}.", f"/ui/calls/{call_id}", "sim/writer-30words-2ms", show_usd(cost or 0))

    def outage(self) -> None:
        completion = self.client.chat("Are you there?", model="steady")
        call = self.client.calls.get(completion.call_id or "").raw
        told = ", ".join(f"{attempt['target']} {attempt['outcome']}" for attempt in call["attempts"])
        expect(len(call["attempts"]) > 1 and call["state"] == "completed", f"no fallback was seen: {told}")
        self.say(f"outage: {told}; the caller saw one answer")
        self.did(
            "An outage, survived",
            f"{told}. The caller saw one answer.",
            f"/ui/calls/{call['id']}",
            "sim/down",
            "attempt 3",
        )

    def crash(self) -> None:
        for _ in range(TRIES):
            effects = len(self.effects())
            number = time.time_ns() // 1_000_000 % 100_000
            order = f"order {number}"
            run = self.client.runs.start("support", f"My {order} came broken, please refund it.", user="u_42")
            pid = self.refunding(run.id)
            if pid is not None:
                break
            self.wait(run.id)  # on a busy machine it was over before it was seen
            state = self.get(f"/v1/runs/{run.id}")
            expect(state["state"] == "completed", f"{run.id} is {state['state']}: {state['error']}")
        expect(pid is not None, "the run never came to its refund")
        self.run_id = run.id
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
        expect(f"{number} is refunded" in str(state["output"]), f"the run ended with {state['output']}")
        self.did(
            "A worker killed in the middle of a refund",
            f"{order}: asked for {done[0]['requests']} times, done once. Its cost, its crash and who went on.",
            f"/ui/runs/{run.id}",
            "Survived a crash",
            f"{number} is refunded",
        )

    def refunding(self, run: str) -> int | None:
        """The worker that has just begun the refund; None if it is past it."""
        for fact in self.client.runs.events(run):
            if fact.kind == "tool.started" and "refund" in json.dumps(fact.data):
                return pid_of(self.demo.home, self.get(f"/v1/runs/{run}")["worker"])
        return None

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
        told = f"{show_usd(settled)} settled, {show_usd(metered)} on the provider's meter: equal to the nano-dollar"
        self.say(f"bill: {told}")
        self.did("The bill", f"{told}.", "/ui/calls?by=model", "sim/agent-5ms", "sim/writer-30words-2ms")

    def replay(self) -> None:
        lines = self.verb("replay", self.run_id, "--verify")
        told = lines[0].partition(": ")[2]
        expect(lines[-1] == "identical", f"the replay says {lines}")
        self.say(f"replay: {told}: identical")
        command = f"mooring replay {self.run_id} --verify"
        self.did("The same run again, offline", f"{told}: identical.", f"/ui/runs/{self.run_id}#proof", command)

    def trace(self) -> None:
        lines = self.verb("trace", self.run_id, "--verify")
        self.say(f"trace: {lines[1]}; {lines[-1]}")
        command = f"mooring trace {self.run_id} --verify"
        words = "Every part adds up to its whole"
        self.did("Its trace, and whether it adds up", lines[1], f"/ui/runs/{self.run_id}#fall", words, command=command)

    def open_pages(self) -> None:
        """Every link is opened, and must hold what it says; then one page has them all.

        Raises:
            StepFailed: a page is missing, or does not show the thing.
        """
        keep(self.demo.home, Told(time.time_ns() // 1000, tuple(self.things)))
        for thing in self.things:
            self.check_page(thing.href, *thing.words)
        self.check_page("/ui/tour", *(thing.title for thing in self.things))
        self.say(f"pages: each of these {len(self.things)} things has one, opened just now; /ui/tour links them all")

    def check_page(self, href: str, *words: str) -> None:
        text = words_of(self.read_text(self.demo.up.endpoint.url + href.partition("#")[0]))
        for wanted in words:
            expect(words_of(html.escape(wanted)) in text, f"{href} does not show “{wanted}”")
        mark = href.partition("#")[2]
        page = self.read_text(self.demo.up.endpoint.url + href.partition("#")[0])
        expect(not mark or f'id="{mark}"' in page, f"{href} has no such place")

    def did(self, title: str, told: str, href: str, *words: str, command: str | None = None) -> None:
        self.things.append(Thing(title, told, href, words, command))

    def verb(self, *arguments: str) -> list[str]:
        """What a verb of the command line prints, run as a user would."""
        done = subprocess.run(  # our own program with arguments that we made
            [sys.executable, "-P", "-m", "mooring", *arguments], capture_output=True, text=True, check=False
        )
        expect(done.returncode == 0, f"mooring {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout.rstrip().splitlines()

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
        return json.loads(self.read_text(url, key))

    def read_text(self, url: str, key: str | None = None) -> str:
        """A page, as the holder of the home's own key sees it."""
        key = key or (self.demo.up.endpoint.key if "/ui/" in url else None)
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # our own processes, on loopback
            return str(answer.read().decode())


def place_of(citation: Citation) -> str:
    """`refunds.md § Time limits, page 2, characters 162-244`."""
    section = f" § {citation.section}" if citation.section else ""
    page = f", page {citation.page}" if citation.page else ""
    return f"{citation.path}{section}{page}, characters {citation.start}-{citation.end}"


def words_of(page: str) -> str:
    """A page's text as a reader sees it: without tags and white space, which markup may put between digits."""
    return "".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())


def expect(holds: bool, seen: str) -> None:
    """Raises `StepFailed` with what was seen, unless it holds."""
    if not holds:
        raise StepFailed(f"The tour stopped: {seen}", hint="This is a defect: please report it with the lines above.")
