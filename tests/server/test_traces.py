"""Traces over HTTP: by filter, by group, page by page, and never another project's."""

import asyncio
from typing import Any

from mooring.core import ids
from mooring.journal.records import AttemptIntent, AttemptResult, CallAnswer, NewCall, NewRun, RunRef


def test_a_call_is_found_by_user_tag_and_words_and_shown_with_its_attempts(run: Any) -> None:
    async def scenario(site: Any) -> None:
        headers = {"x-mooring-user": "u_1", "x-mooring-tags": "web, eu", "x-mooring-session": "s_1"}
        first = await site.say("Where is my parcel?", headers=headers)
        await site.say("Something else")
        await site.rooms.projector.catch_up()
        for query in ("user=u_1", "tag=eu", "session=s_1", "text=parcel", "state=completed&user=u_1&since=1h"):
            (one,) = (await site.get(f"/v1/traces?{query}")).json["data"]
            assert (one["user"], one["tags"], one["calls"]) == ("u_1", ["web", "eu"], 1)
            assert one["settled"].startswith("$0.0")
        whole = (await site.get(f"/v1/traces/{one['trace_id']}.json")).json
        (step,) = whole["steps"]
        (call,) = step["calls"]
        assert call["id"] == first.headers["x-mooring-call"]
        assert call["attempts"][0]["bytes_up"] > 0
        assert whole["total"]["settled_nanos"] == one["settled_nanos"]
        assert (await site.get(f"/v1/traces/{call['id']}")).json["steps"] == whole["steps"]
        assert (await site.get("/v1/traces?user=nobody")).json["data"] == []
        groups = (await site.get("/v1/traces?group_by=user")).json["data"]
        assert {group["value"]: group["calls"] for group in groups} == {"u_1": 1, None: 1}
        other = await site.key_with("read", project="other")
        assert (await site.get("/v1/traces", key=other)).json["data"] == []
        assert (await site.get(f"/v1/traces/{one['trace_id']}", key=other)).status == 404

    run(scenario)


def test_mistakes_say_what_was_meant(run: Any) -> None:
    async def scenario(site: Any) -> None:
        for path, words in (
            ("/v1/traces?since=yesterdayish", "is no time"),
            ("/v1/traces?state=complete", "Did you mean 'completed'?"),
            ("/v1/traces?group_by=users", "Did you mean 'user'?"),
            ("/v1/traces?limit=0", "from 1 to 200"),
            ("/v1/traces?before=xyz", "no place in a list"),
            ("/v1/traces/abc", "no trace id"),
        ):
            answer = await site.get(path)
            assert answer.status == 400, path
            assert words in answer.error["message"]
        assert (await site.get(f"/v1/traces/{'0' * 31}1")).status == 404

    run(scenario)


def test_a_run_of_five_thousand_steps_is_whole_page_by_page(run: Any) -> None:
    """Elsewhere a thousand spans are shown, and the rest looks lost."""
    steps = 5_000

    async def scenario(site: Any) -> None:
        journal = site.rooms.journal
        new = NewRun(id=ids.new_id(), project_id="default", handler="test", name="long", input=b"{}")
        run_id = (await journal.create_run(new)).id
        record = await journal.claim_run(["test"])

        async def one(number: int) -> None:
            ref = RunRef(run_id, record.epoch, str(number))
            call = NewCall(ids.new_id(), "default", "chat", "fast", run_id, run=ref)
            intent = AttemptIntent(ids.new_id(), call.id, "default", 1, "sim/echo", b"h", run=ref)
            await journal.begin_attempt(intent, call=call)
            await journal.finish_attempt(AttemptResult(intent.id, "completed", 1), CallAnswer("completed"))

        for start in range(0, steps, 500):
            await asyncio.gather(*(one(number) for number in range(start, start + 500)))
        await journal.finish_run(run_id, record.epoch, "completed")
        await site.rooms.projector.catch_up()
        (summary,) = (await site.get("/v1/traces")).json["data"]
        assert (summary["calls"], summary["spans"], summary["settled_nanos"]) == (steps, 2 * steps + 1, steps)
        seen: list[str] = []
        after = ""
        while True:
            page = (await site.get(f"/v1/traces/{ids.show('run', run_id)}?after={after}")).json
            assert page["total"]["calls"] == steps
            seen += [call["id"] for step in page["steps"] for call in step["calls"]]
            after = page["next"]
            if after is None:
                break
        assert len(seen) == len(set(seen)) == steps

    run(scenario)


def test_the_callers_trace_is_the_calls_and_the_body_says_whose_it_is(run: Any) -> None:
    async def scenario(site: Any) -> None:
        trace = "0af7651916cd43dd8448eb211c80319c"
        body = {
            "model": "sim/echo",
            "messages": [{"role": "user", "content": "Hi"}],
            "metadata": {"user_id": "u_7", "session_id": "s_7", "tags": "web"},
        }
        await site.post("/v1/chat/completions", body, headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
        (call,) = [one for step in (await site.get(f"/v1/traces/{trace}")).json["steps"] for one in step["calls"]]
        assert (call["user"], call["session"], call["tags"]) == ("u_7", "s_7", ["web"])

    run(scenario)
