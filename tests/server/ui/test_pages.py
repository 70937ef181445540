"""The pages: what they show first, that hostile text stays text, and that a twin knows what its page knows."""

import asyncio
import re
from pathlib import Path

import msgspec
import pytest

from mooring.core import ids
from mooring.core.ids import new_id
from mooring.journal.records import AttemptIntent, AttemptResult, CallAnswer, NewCall, NewRun, RunRecord, RunRef
from mooring.rag import Origin
from mooring.server.ui.filters import PAGE
from mooring.server.ui.pages import PAGES

from .conftest import Browser, Open

HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
LISTS = [page.path for page in PAGES if "{" not in page.path]


async def a_run(one: Browser, name: str = "mailer", *, text: str = "Send the letter") -> RunRecord:
    """A run that this process works on, with its first event."""
    new = NewRun(new_id(), "default", "test", name, msgspec.json.encode(text), user="u_7")
    await one.rooms.journal.create_run(new)
    run = await one.rooms.journal.claim_run(["test"])
    assert run is not None
    definition = {"instructions": "You send letters.", "model": "sim/echo", "tools": []}
    started = msgspec.json.encode({"definition": definition, "input": text})
    await one.rooms.journal.append(run.id, run.epoch, "run.started", started)
    return run


async def a_tool(
    one: Browser, run: RunRecord, call: NewCall | None = None, *, number: int = 1
) -> tuple[NewCall, bytes]:
    """A tool that has begun; its call and its attempt."""
    ref = RunRef(run.id, run.epoch, "1.tool.0")
    call = call or NewCall(new_id(), "default", "tool", "send_letter", new_id(), b'{"to":"pier 7"}', run=ref)
    reason = "first" if number == 1 else "repeat"
    intent = AttemptIntent(new_id(), call.id, "default", number, "tool/send_letter", b"h", reason=reason, run=ref)
    event = {"step": ref.step, "id": "c1", "name": "send_letter", "arguments": '{"to":"pier 7"}'}
    await one.rooms.journal.begin_tool(ref, call, intent, event_payload=msgspec.json.encode(event))
    return call, intent.id


async def its_process_dies(dying: Browser) -> None:
    await dying.rooms.journal.bury(dying.rooms.process_id)


def test_without_a_session_nothing_is_shown(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            for path in LISTS:
                page, twin = await one.get(path), await one.get(path + ".json")
                assert (page.status, twin.status) == (401, 401)
                assert "mooring keys login" in page.words
                assert twin.json["error"]["code"] == "invalid_api_key"

    asyncio.run(scene())


@pytest.mark.parametrize("path", LISTS)
def test_an_empty_page_teaches_the_command_that_fills_it(browser: Open, path: str) -> None:
    async def scene() -> None:
        async with browser() as one:
            await one.sign_in()
            assert re.search(
                r'<pre class="command">mooring (run|ask|documents|demo|config|keys)', (await one.get(path)).text
            )

    asyncio.run(scene())


def test_pages_hold_to_the_strict_policy(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            await one.sign_in()
            for path in LISTS:
                page = await one.get(path)
                policy = page.headers["content-security-policy"]
                assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'")
                assert page.headers["cache-control"] == "no-store"
                assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?! type=\"module\" src=\"/ui/)", page.text)
                assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page.text)

    asyncio.run(scene())


def test_home_says_first_what_needs_somebody(browser: Open, tmp_path: Path) -> None:
    async def scene() -> None:
        async with browser() as one:
            async with browser() as dying:
                waiting = await a_run(dying)
                await a_tool(dying, waiting)
                await its_process_dies(dying)
            failed = await a_run(one, "nightly")
            while failed.name != "nightly":  # the other run is free to be claimed as well
                failed = await a_run(one, "nightly")
            await one.rooms.journal.finish_run(
                failed.id, failed.epoch, "failed", error_code="broken", error_message="It broke."
            )
            (tmp_path / "scan.txt").write_bytes(b"\xff\xfe\xfd")
            await one.rooms.rag.ingest("default", "papers", tmp_path)
            await one.sign_in()
            page, twin = await one.get("/ui/home"), (await one.get("/ui/home.json")).json
            kinds = [item["kind"] for item in twin["attention"]]
            assert kinds[:2] == ["uncertain", "failed"]
            assert "document" in kinds
            for words in ("send_letter may or may not have happened", "It broke.", "scan.txt is not read"):
                assert words in page.words
            assert page.words.index("may or may not") < page.words.index("Cost")

    asyncio.run(scene())


def test_home_warns_of_a_budget_before_it_is_used_up(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            budget = await one.rooms.journal.put_budget(
                "default", scope="project", subject="", window="total", cap_nanos=1000
            )
            call = NewCall(new_id(), "default", "chat", "sim/echo", new_id())
            intent = AttemptIntent(new_id(), call.id, "default", 1, "sim/echo", b"h", 900, (budget,))
            await one.rooms.journal.begin_attempt(intent, call=call)
            await one.rooms.journal.finish_attempt(AttemptResult(intent.id, "completed", 850), CallAnswer("completed"))
            await one.sign_in()
            page = await one.get("/ui/home")
            assert "The project budget is nearly used up" in page.words
            assert "$0.000000 850" in page.words or "$0.000000850" in page.words.replace(" ", "")

    asyncio.run(scene())


def test_a_crash_and_the_repeat_are_told_in_the_run(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            async with browser() as dying:
                call, _ = await a_tool(dying, await a_run(dying))
                await its_process_dies(dying)
            run = await one.rooms.journal.claim_run(["test"])
            assert run is not None
            _, attempt = await a_tool(one, run, call, number=2)
            ref = RunRef(run.id, run.epoch, "1.tool.0")
            event = msgspec.json.encode({"step": ref.step, "id": "c1", "name": "send_letter", "text": "sent"})
            done = CallAnswer("completed", body=b'"sent"')
            await one.rooms.journal.finish_tool(ref, AttemptResult(attempt, "completed", 0), done, event_payload=event)
            await one.rooms.journal.finish_run(run.id, run.epoch, "completed", output=b'"sent"')
            one.rooms.edge.count_run(ids.show("run", run.id), bytes_up=300, bytes_down=1_200)
            await one.rooms.edge.flush()
            await one.rooms.projector.catch_up()
            await one.sign_in()
            path = f"/ui/runs/{ids.show('run', run.id)}"
            page, twin = await one.get(path), (await one.get(path + ".json")).json
            assert "Survived a crash" in page.words
            assert [bool(one["dead_at_us"]) for one in twin["hands"]] == [True, False]
            assert "Every part adds up" in page.words
            assert "Hop Exchanges Up Down client to serve 1 300 B 1.2 kB" in page.words
            assert [turn["who"] for turn in twin["conversation"]] == [
                *("system", "user", "tool", "crash", "tool", "note")
            ]
            attempts = [(row["state"], row["reason"]) for row in twin["waterfall"]["rows"] if row["level"] == "attempt"]
            assert attempts == [("uncertain", "first"), ("completed", "repeat")]

    asyncio.run(scene())


def test_an_uncertain_call_is_decided_on_its_page(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            async with browser() as dying:
                call, _ = await a_tool(dying, await a_run(dying))
                await its_process_dies(dying)
            await one.sign_in()
            path = f"/ui/calls/{ids.show('call', call.id)}"
            assert "Did send_letter happen?" in (await one.get(path)).words
            run = (await one.get(path + ".json")).json["call"]["run_id"]
            assert "Did send_letter happen?" in (await one.get(f"/ui/runs/{run}")).words
            assert (await one.post(path + "/resolve", {"decision": "perhaps"})).status == 400
            decided = {"decision": "completed", "result": "sent, says Ann", "to": f"/ui/runs/{run}"}
            assert (await one.post(path + "/resolve", decided)).headers["location"] == f"/ui/runs/{run}"
            found = (await one.get(path + ".json")).json["call"]
            assert found["state"] == "completed"
            assert found["attributes"]["resolved_by"].startswith("ui key_")
            # What was typed is what a model reads, as it is when a tool returns text.
            assert await one.rooms.journal.get_body("default", call.id) == b"sent, says Ann"

    asyncio.run(scene())


def test_runs_are_filtered_by_state_agent_and_user(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            for name in ("mailer", "clerk"):
                run = await a_run(one, name)
                await one.rooms.journal.finish_run(run.id, run.epoch, "completed" if name == "clerk" else "cancelled")
            await one.sign_in()

            async def names(query: str) -> list[str]:
                return [run["name"] for run in (await one.get("/ui/runs.json" + query)).json["runs"]]

            assert await names("") == ["clerk", "mailer"]
            assert await names("?state=cancelled") == ["mailer"]
            assert await names("?agent=clerk&user=u_7") == ["clerk"]
            assert await names("?user=u_8") == []
            assert "No run matches" in (await one.get("/ui/runs?user=u_8")).words

    asyncio.run(scene())


def test_runs_and_calls_are_found_by_session_tag_model_time_and_words(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            for number, text in enumerate(("the Blue lamp", "the red clock")):
                body = msgspec.json.encode(text)
                new = NewRun(new_id(), "default", "test", "clerk", body, session=f"s_{number}", tags=(f"t{number}",))
                await one.rooms.journal.create_run(new)
                run = await one.rooms.journal.claim_run(["test"])
                assert run is not None
                ref = RunRef(run.id, run.epoch, "1.model")
                call = NewCall(new_id(), "default", "chat", f"sim/{number}", new_id(), run=ref, tags=(f"t{number}",))
                await one.rooms.journal.record_call(call, CallAnswer("completed"))
            await one.sign_in()

            async def sessions(query: str) -> list[str]:
                return [run["session"] for run in (await one.get("/ui/runs.json" + query)).json["runs"]]

            for query in ("?session=s_0", "?tag=t0", "?model=sim/0", "?text=blue+LAMP", "?handler=test&tag=t0"):
                assert await sessions(query) == ["s_0"], query
            assert await sessions("?tag=t") == []
            assert await sessions("?since=2020-01-01") == ["s_1", "s_0"]
            assert await sessions("?until=2020-01-01T10:00") == []
            assert (await one.get("/ui/runs?since=yesterday")).status == 400
            calls = (await one.get("/ui/calls.json?tag=t1")).json["calls"]
            assert [call["name"] for call in calls] == ["sim/1"]
            assert "sim/1" in (await one.get("/ui/calls?state=completed&model=sim/1")).words

    asyncio.run(scene())


def test_a_list_says_where_its_page_stands_in_the_whole(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            for _ in range(PAGE + 3):
                call = NewCall(new_id(), "default", "chat", "sim/echo", new_id())
                await one.rooms.journal.record_call(call, CallAnswer("completed"))
            await one.sign_in()
            first = await one.get("/ui/calls")
            assert f"1–{PAGE} of {PAGE + 3} calls" in first.words
            older = (await one.get("/ui/calls.json")).json["place"]["older"]
            second = await one.get(older)
            assert f"{PAGE + 1}–{PAGE + 3} of {PAGE + 3} calls" in second.words
            assert (await one.get(older.replace("?", ".json?"))).json["place"]["older"] is None

    asyncio.run(scene())


def test_hostile_text_stays_text(browser: Open, tmp_path: Path) -> None:
    async def scene() -> None:
        async with browser() as one:
            (tmp_path / "note.md").write_text(f"# {HOSTILE}\n\nThe harbour {HOSTILE} is deep.\n")
            await one.rooms.rag.ingest("default", "papers", tmp_path)
            run = await a_run(one, HOSTILE, text=HOSTILE)
            await one.sign_in()
            document = (await one.rooms.rag.documents("default", "papers"))[0]
            for path in (
                "/ui/home",
                "/ui/runs",
                f"/ui/runs/{ids.show('run', run.id)}",
                f"/ui/documents/{ids.show('doc', document.id)}",
                f"/ui/ask?q={'%3Cimg src=x%3E'.replace(' ', '%20')}",
                "/ui/runs/%3Cimg%3E",
            ):
                page = await one.get(path)
                assert "<img" not in page.text
                assert "<script>" not in page.text

    asyncio.run(scene())


def test_a_question_holds_its_filter_and_one_that_is_none_says_so(browser: Open, tmp_path: Path) -> None:
    async def scene() -> None:
        async with browser() as one:
            for name in ("public", "hr"):
                (tmp_path / name).mkdir()
                (tmp_path / name / "pier.md").write_text("# Pier 7\n\nThe key hangs behind the chart table.\n")
            await one.rooms.rag.ingest("default", "papers", tmp_path)
            await one.sign_in()
            asked = {"question": "zebra", "collection": "papers", "filter": '{"file.folder": "hr"}'}
            answered = await one.post("/ui/ask", asked)
            twin = (await one.get(answered.headers["location"] + ".json")).json
            assert (twin["filter"], twin["answer"]["hits"]) == ('{"file.folder":"hr"}', [])
            refused = await one.post("/ui/ask", {**asked, "filter": "hr"})
            assert (refused.status, "no JSON object" in refused.words) == (400, True)

    asyncio.run(scene())


def test_an_answer_is_read_from_the_journal_and_its_citation_opens_the_marked_source(
    browser: Open, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with browser() as one:
            (tmp_path / "pier.md").write_text("# Pier 7\n\nThe key hangs behind the chart table. The pier is long.\n")
            await one.rooms.rag.ingest("default", "papers", tmp_path)
            trace = new_id()
            await one.rooms.rag.search("default", "papers", "Where is the key?", origin=Origin(trace_id=trace))
            reply = {"choices": [{"message": {"content": "The key hangs behind the chart table. [1]"}}]}
            answer = CallAnswer("completed", body=msgspec.json.encode(reply))
            await one.rooms.journal.record_call(NewCall(new_id(), "default", "chat", "sim/quoting", trace), answer)
            await one.sign_in()
            path = f"/ui/ask/{trace.hex()}"
            page, twin = await one.get(path), (await one.get(path + ".json")).json
            (citation,) = twin["answer"]["citations"]
            assert citation["is_verified"]
            assert citation["href"].replace("&", "&amp;") in page.text
            source = await one.get(citation["href"].partition("#")[0])
            assert '<mark id="mark">The key hangs behind the chart table.</mark>' in source.text

    asyncio.run(scene())


def test_a_wrong_address_is_a_page_too(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            await one.sign_in()
            for path in ("/ui/nothing", "/ui/runs/run_0", "/ui/documents/doc_00000000000000000000000000"):
                page = await one.get(path)
                assert page.status in (400, 404)
                assert "This did not work" in page.words

    asyncio.run(scene())


def test_another_project_sees_none_of_it(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            run = await a_run(one)
            key = await one.rooms.keys.create("elsewhere", name="theirs", scopes=("read",))
            theirs = {"authorization": f"Bearer {key}"}
            assert (await one.get("/ui/runs.json", **theirs)).json["runs"] == []
            assert (await one.get(f"/ui/runs/{ids.show('run', run.id)}.json", **theirs)).status == 404

    asyncio.run(scene())
