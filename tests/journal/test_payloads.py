"""Payload policies: what is not to be kept is not written at all, and what is redacted holds no secret anywhere."""

import asyncio
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mooring.core.clock import ManualClock
from mooring.core.ids import IdSource
from mooring.guardrails.redactor import MARK, Redactor
from mooring.journal import Journal, NewRun, RunRef
from mooring.journal.config import RetentionConfig
from mooring.journal.payloads import Policy, redacted
from mooring.journal.upkeep import faults_in
from mooring.storage import Blobs, Database

PROJECT = "default"


class Kept:
    """A journal with a policy in a folder whose every file is looked through."""

    def __init__(self, path: Path, policy: Policy, clock: ManualClock, secret: str) -> None:
        self.path = path
        self.new_id = IdSource(clock)
        self.rule = RetentionConfig(payloads=policy)
        self.database = Database.open(f"sqlite:///{path / 'mooring.db'}")
        self.journal = Journal(
            self.database,
            Blobs(path / "blobs"),
            process_id=self.new_id(),
            clock=clock,
            new_id=self.new_id,
            payloads=policy,
            redact=Redactor((secret,)),
        )

    async def call(self, words: Any, request: bytes, answer: bytes, **fields: Any) -> bytes:
        made = words.call(id=self.new_id(), trace_id=self.new_id(), request_body=request, **fields)
        intent = words.intent(made, id=self.new_id(), held_nanos=10)
        await self.journal.begin_attempt(intent, call=made)
        await self.journal.finish_attempt(words.result(intent, 7), words.answer(answer))
        return bytes(made.id)

    def files_with(self, marker: str) -> list[str]:
        return [
            file.name
            for file in self.path.rglob("*")
            if file.is_file() and not file.name.endswith("-shm") and marker.encode() in file.read_bytes()
        ]


@pytest.fixture
def marker() -> str:
    return "MARKER" + os.urandom(9).hex()


def test_with_off_a_call_without_key_and_run_never_stores_its_bodies(
    tmp_path: Path, words: Any, clock: ManualClock, marker: str
) -> None:
    async def scene(kept: Kept) -> None:
        noise = os.urandom(30_000).hex().encode()  # lies beside the row; and what follows in the blob store
        for size in (b"", noise, noise * 20):
            said = b'{"messages":["' + marker.encode() + b'"],"x":"' + size + b'"}'
            plain = await kept.call(words, said, said, request_elements=(b'"' + marker.encode() + b'"',))
            assert await kept.journal.get_request(PROJECT, plain) == (b"", ())
            assert await kept.journal.get_body(PROJECT, plain) == b""
        blocked = words.call(id=kept.new_id(), request_body=marker.encode())
        await kept.journal.record_call(blocked, words.answer(marker.encode(), state="blocked"))
        assert kept.files_with(marker) == []
        assert [file for file in (kept.path / "blobs").rglob("*") if file.is_file()] == []
        assert (await kept.journal.bill(PROJECT)).settled_nanos == 21
        keyed = await kept.call(words, b"{}", marker.encode(), key="k")
        assert await kept.journal.get_body(PROJECT, keyed) == marker.encode()
        assert kept.files_with(marker) != []

    kept = Kept(tmp_path, "off", clock, marker)
    asyncio.run(scene(kept))
    kept.database.close()


def test_with_full_all_of_it_is_kept(tmp_path: Path, words: Any, clock: ManualClock, marker: str) -> None:
    async def scene(kept: Kept) -> None:
        plain = await kept.call(words, marker.encode(), marker.encode())
        clock.advance(1)
        await kept.journal.retain(kept.rule)
        assert await kept.journal.get_body(PROJECT, plain) == marker.encode()

    kept = Kept(tmp_path, "full", clock, marker)
    asyncio.run(scene(kept))
    kept.database.close()


def test_with_redacted_a_plain_call_is_redacted_at_once(
    tmp_path: Path, words: Any, clock: ManualClock, marker: str
) -> None:
    async def scene(kept: Kept) -> None:
        said = json.dumps({"messages": [{"content": f"my key is {marker}, thanks"}]}).encode()
        plain = await kept.call(words, said, said)
        assert kept.files_with(marker) == []
        body = json.loads(await kept.journal.get_body(PROJECT, plain))
        assert body == {"messages": [{"content": f"my key is {MARK}, thanks"}]}
        assert (await kept.journal.get_request(PROJECT, plain))[0] == await kept.journal.get_body(PROJECT, plain)

    kept = Kept(tmp_path, "redacted", clock, marker)
    asyncio.run(scene(kept))
    kept.database.close()


def test_with_redacted_keys_and_runs_are_answered_whole_until_they_are_over(
    tmp_path: Path, words: Any, clock: ManualClock, marker: str
) -> None:
    async def scene(kept: Kept) -> None:
        journal = kept.journal
        said = json.dumps({"messages": ["system", marker]}).encode()
        elements = (b'"system"', f'"{marker}"'.encode())
        keyed = await kept.call(words, said, said, key="k", key_lifetime_seconds=3600)
        await journal.create_run(
            NewRun(id=kept.new_id(), project_id=PROJECT, handler="agent", name="a", input=elements[1])
        )
        run = await journal.claim_run(["agent"])
        assert run is not None
        step = await kept.call(words, said, said * 9_000, run=RunRef(run.id, run.epoch, "1"), request_elements=elements)
        await journal.append(run.id, run.epoch, "model.finished", said)
        clock.advance(1)
        assert (await journal.retain(kept.rule)).payloads == 0
        assert await journal.get_request(PROJECT, step) == (said, elements)
        await journal.finish_run(run.id, run.epoch, "completed", output=said)
        clock.advance(3600)
        assert (await journal.retain(kept.rule)).payloads == 2
        clean = f'{{"messages":["system","{MARK}"]}}'.encode()
        assert await journal.get_request(PROJECT, keyed) == (clean, ())
        request, chain = await journal.get_request(PROJECT, step)
        assert (json.loads(request), chain) == (json.loads(clean), (b'"system"', f'"{MARK}"'.encode()))
        ended = await journal.get_run(PROJECT, run.id)
        assert (ended.input, ended.output) == (f'"{MARK}"'.encode(), clean)
        assert clean in [event.payload for event in await journal.events(PROJECT, run.id)]
        assert (await journal.get_call(PROJECT, step)).attributes == {"payloads": "redacted"}
        assert (await journal.retain(kept.rule)).payloads == 0
        assert kept.database.read(faults_in) == []
        assert kept.database.scrub(is_whole=True)

    kept = Kept(tmp_path, "redacted", clock, marker)
    asyncio.run(scene(kept))
    kept.database.close()
    assert kept.files_with(marker) == []
    with sqlite3.connect(tmp_path / "mooring.db") as connection:
        assert marker not in "\n".join(connection.iterdump())
    connection.close()


@pytest.mark.parametrize(("policy", "left"), [("off", b""), ("redacted", MARK.encode())])
def test_a_run_without_calls_loses_what_was_said_when_it_is_over(
    tmp_path: Path, clock: ManualClock, marker: str, policy: Policy, left: bytes
) -> None:
    async def scene(kept: Kept) -> None:
        journal = kept.journal
        for name in ("early", "late"):
            await journal.create_run(
                NewRun(id=kept.new_id(), project_id=PROJECT, handler="agent", name=name, input=marker.encode())
            )
        waiting, run = await journal.claim_run(["agent"]), await journal.claim_run(["agent"])
        assert waiting is not None
        assert run is not None
        await journal.append(run.id, run.epoch, "log", f'{{"said":"{marker}"}}'.encode())
        await journal.finish_run(run.id, run.epoch, "failed", error_code="x", error_message=marker)
        clock.advance(1)
        await journal.retain(kept.rule)
        ended = await journal.get_run(PROJECT, run.id)
        assert (ended.input, (ended.error_message or "").encode()) == (left, left)
        assert marker.encode() not in b"".join(event.payload for event in await journal.events(PROJECT, run.id))
        assert (await journal.get_run(PROJECT, waiting.id)).input == marker.encode()
        await journal.finish_run(waiting.id, waiting.epoch, "completed", output=marker.encode())
        clock.advance(1)
        await journal.retain(kept.rule)
        assert kept.database.read(faults_in) == []
        assert kept.database.scrub(is_whole=True)

    kept = Kept(tmp_path, policy, clock, marker)
    asyncio.run(scene(kept))
    kept.database.close()
    assert kept.files_with(marker) == []


def events(*texts: str) -> bytes:
    lines = [json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}) for text in texts]
    return ("".join(f"data: {line}\n\n" for line in lines) + "data: [DONE]\n\n").encode()


def test_a_secret_in_pieces_of_a_stream_is_redacted() -> None:
    secret = "open" + "sesame-77"
    clean = redacted(events("it is ", secret[:5], secret[5:], " so"), Redactor((secret,))).decode()
    said = [json.loads(line[6:]) for line in clean.split("\n") if line.startswith("data: {")]
    assert "".join(one["choices"][0]["delta"]["content"] for one in said) == f"it is {MARK} so"
    assert len(said) == 4
    assert clean.endswith("data: [DONE]\n\n")


def test_what_holds_no_secret_keeps_its_bytes() -> None:
    redact = Redactor(("open" + "sesame-77",))
    for data in (b"", b'{ "a" : 1.0 }', events("one", "two"), b"\xff\xfe\x00binary", b'["a", null, "b"]', b"null"):
        assert redacted(data, redact) == data


def test_a_secret_is_found_however_it_lies_there() -> None:
    secret = "open" + "sesame-77"
    escaped = "".join(f"\\u{ord(char):04x}" for char in secret)
    for text in (
        f'"{escaped}"',
        f'["{secret}"]',
        f'{{"a":"{secret}","a":"b"}}',
        f'{{"{secret}":1}}',
        f"no JSON {secret}",
    ):
        clean = redacted(text.encode(), Redactor((secret,)))
        assert secret.encode() not in clean, text
        assert MARK.encode() in clean, text
    assert secret.encode() not in redacted(b"\xff" + secret.encode(), Redactor((secret,)))
