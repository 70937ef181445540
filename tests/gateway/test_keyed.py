"""Keys: paid once, joined while running, drained whoever hangs up, replayed afterwards."""

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from mooring.core import ids
from mooring.core.errors import ConfigError
from mooring.gateway.gateway import Gateway
from mooring.guardrails.config import GuardrailsConfig
from mooring.guardrails.guardrails import Guardrails

from .house import House, Secret, another_journal, default_config, house, read, say
from .test_streams import closed


@pytest.mark.parametrize("is_stream", [True, False])
def test_the_same_key_and_body_get_the_recorded_bytes_and_pay_once(tmp_path: Path, is_stream: bool) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            first = await home.ask(say("hello", stream=is_stream), idempotency_key="k")
            second = await home.ask(say("hello", stream=is_stream), idempotency_key="k")
            assert second.body == first.body
            assert second.content_type == first.content_type
            assert second.headers["x-mooring-replayed"] == "true"
            assert second.headers["x-mooring-call"] == first.headers["x-mooring-call"]
            assert "x-mooring-replayed" not in first.headers
            assert len(home.sim.requests) == 1
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


def test_a_key_outlives_a_rotation_of_the_secret_while_its_version_is_kept(tmp_path: Path) -> None:
    class Rotating(Secret):
        versions: ClassVar[dict[int, bytes]] = {1: b"one" * 11}

        @property
        def version(self) -> int:
            return max(self.versions)

        @property
        def current(self) -> bytes:
            return self.versions[self.version]

        def get(self, version: int, /) -> bytes:
            if version not in self.versions:
                raise ConfigError("It was dropped.")
            return self.versions[version]

    async def scene() -> None:
        async with house(tmp_path) as home:
            home.gateway._keyed._secrets = secrets = Rotating()
            first = await home.ask(say("hello"), idempotency_key="k")
            secrets.versions[2] = b"two" * 11
            second = await home.ask(say("hello"), idempotency_key="k")
            assert (second.status, second.body) == (200, first.body)
            assert (await home.ask(say("other"), idempotency_key="k")).json["error"]["code"] == "key_reused"
            del secrets.versions[1]
            assert (await home.ask(say("hello"), idempotency_key="k")).json["error"]["code"] == "key_reused"
            assert len(home.sim.requests) == 1

    asyncio.run(scene())


@pytest.mark.parametrize(
    "change", [{"body": say("other")}, {"query": b"v=2"}, {"headers": {b"openai-beta": b"x"}}, {"path": "/v1/other"}]
)
def test_a_key_with_another_request_is_409_and_not_to_be_retried(tmp_path: Path, change: dict[str, Any]) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            await home.ask(say("hello"), idempotency_key="k")
            inbound = home.inbound(change.get("body", say("hello")), idempotency_key="k")
            other = type(inbound)(
                caller=inbound.caller,
                body=inbound.body,
                headers={**inbound.headers, **change.get("headers", {})},
                query=change.get("query", b""),
                path=change.get("path", inbound.path),
            )
            answer = await read(await home.gateway.chat(other))
            assert (answer.status, answer.json["error"]["code"]) == (409, "key_reused")
            assert answer.headers["x-should-retry"] == "false"

    asyncio.run(scene())


def test_whitespace_in_the_body_is_another_request(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            body = b'{"model":"sim/echo","messages":[{"role":"user","content":"x"}]}'
            await home.ask(body, idempotency_key="k")
            assert (await home.ask(body + b" ", idempotency_key="k")).status == 409

    asyncio.run(scene())


def test_keys_of_two_projects_are_two_keys(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            other = type(home.caller)("other", ("call",))
            first = await home.ask(say("hello"), idempotency_key="k")
            second = await home.ask(say("hello"), idempotency_key="k", caller=other)
            assert first.headers["x-mooring-call"] != second.headers["x-mooring-call"]
            assert len(home.sim.requests) == 2

    asyncio.run(scene())


@pytest.mark.parametrize("is_stream", [True, False])
def test_callers_at_once_share_one_upstream_call(tmp_path: Path, is_stream: bool) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            body = say("tell me", model="sim/writer-20words-1ms", stream=is_stream)
            answers = await asyncio.gather(*[home.ask(body, idempotency_key="k") for _ in range(8)])
            assert len({answer.body for answer in answers}) == 1
            assert len({answer.headers["x-mooring-call"] for answer in answers}) == 1
            assert len(home.sim.requests) == 1
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


def test_a_caller_who_joins_late_gets_the_stream_from_its_first_event(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            body = say("tell me", model="sim/writer-30words-2ms", stream=True)
            first = await home.gateway.chat(home.inbound(body, idempotency_key="k"))
            assert not isinstance(first.body, bytes)
            head = [await anext(first.body) for _ in range(3)]
            second = await home.gateway.chat(home.inbound(body, idempotency_key="k"))
            rest = await read(first)
            assert (await read(second)).body == b"".join(head) + rest.body
            assert len(home.sim.requests) == 1

    asyncio.run(scene())


def test_another_body_while_the_key_runs_is_refused_at_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            planted = home.sim.fault("stall_first_byte", model="echo")
            first = asyncio.create_task(home.ask(say("hello"), idempotency_key="k"))
            await planted.reached.wait()
            assert (await home.ask(say("other"), idempotency_key="k")).status == 409
            planted.free()
            assert (await first).status == 200

    asyncio.run(scene())


def test_a_request_that_comes_with_anothers_key_does_not_spoil_it_for_its_owner(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            owner = await home.ask(say("hello"), idempotency_key="k")
            wrong, again = await asyncio.gather(
                home.ask(say("other"), idempotency_key="k"), home.ask(say("hello"), idempotency_key="k")
            )
            assert (wrong.status, again.status) == (409, 200)
            assert again.body == owner.body

    asyncio.run(scene())


def test_of_two_requests_that_come_with_one_key_at_once_one_is_answered(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            answers = await asyncio.gather(
                *(home.ask(say(text), idempotency_key="k") for text in ("hello", "other", "hello", "other"))
            )
            assert sorted(answer.status for answer in answers) == [200, 200, 409, 409]
            assert len(home.sim.requests) == 1

    asyncio.run(scene())


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_keyed_call_is_drained_into_the_journal_when_its_caller_hangs_up(tmp_path: Path, is_stream: bool) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            body = say("tell me", model="sim/writer-20words-1ms", stream=is_stream)
            if is_stream:
                outbound = await home.gateway.chat(home.inbound(body, idempotency_key="k"))
                stream: Any = outbound.body
                await anext(stream)
                await stream.aclose()
            else:
                task = asyncio.create_task(home.ask(body, idempotency_key="k"))
                while not home.sim.requests:
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            answer = await home.ask(body, idempotency_key="k")
            assert answer.status == 200
            assert not is_stream or answer.data[-1] == "[DONE]"
            assert len(home.sim.requests) == 1
            await closed(home)
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


def test_a_drained_call_that_outlives_the_gateway_is_cut_and_settled(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            stall = home.sim.fault("stall_mid_stream", after_events=1)
            outbound = await home.gateway.chat(home.inbound(say("one two three", stream=True), idempotency_key="k"))
            await stall.reached.wait()
            await home.gateway.aclose(drain_seconds=0.0)
            answer = await read(outbound)
            assert msgspec.json.decode(answer.data[-1])["error"]["code"] == "unavailable"
            (call,) = await home.journal.list_calls("default")
            assert call.state == "failed"
            settled, held = await home.bill()
            assert settled <= await home.meter() <= settled + held

    asyncio.run(scene())


def test_a_call_that_failed_unpaid_frees_its_key(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            home.sim.fault("status", status=503, times=2)
            assert (await home.ask(say("hello"), idempotency_key="k")).status == 502
            assert (await home.ask(say("hello"), idempotency_key="k")).status == 200
            assert (await home.ask(say("hello"), idempotency_key="k")).headers["x-mooring-replayed"] == "true"
            assert len(home.sim.requests) == 3

    asyncio.run(scene())


def test_a_call_that_failed_after_it_was_paid_keeps_its_error(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            home.sim.fault("reset_mid_chunk", times=2)
            first = await home.ask(say("hello"), idempotency_key="k")
            assert first.status == 502
            again = await home.ask(say("hello"), idempotency_key="k")
            assert (again.status, again.body) == (502, first.body)
            assert again.headers["x-mooring-replayed"] == "true"

    asyncio.run(scene())


def test_a_refused_budget_frees_the_key(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            await home.journal.put_budget("default", scope="project", subject="", window="total", cap_nanos=1)
            assert (await home.ask(say("hello"), idempotency_key="k")).status == 402
            await home.journal.put_budget("default", scope="project", subject="", window="total", cap_nanos=10**9)
            assert (await home.ask(say("hello"), idempotency_key="k")).status == 200

    asyncio.run(scene())


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb"])
def test_an_unusable_key_is_400(tmp_path: Path, key: str) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            assert (await home.ask(say("x"), idempotency_key=key)).status == 400

    asyncio.run(scene())


def second_gateway(home: House, path: Path) -> Gateway:
    """Another serve process on the same database."""
    return Gateway(
        default_config(home.sim.url),
        journal=another_journal(home, path),
        guardrails=Guardrails(GuardrailsConfig()),
        http=home.http,
        clock=home.clock,
        new_id=ids.new_id,
        secrets=Secret(),
    )


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_call_that_runs_in_another_process_is_waited_for(tmp_path: Path, is_stream: bool) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            other = second_gateway(home, tmp_path)
            body = say("tell me", model="sim/writer-40words-2ms", stream=is_stream)
            first = asyncio.create_task(home.ask(body, idempotency_key="k"))
            while not home.sim.requests:
                await asyncio.sleep(0)
            answer = await read(await other.chat(home.inbound(body, idempotency_key="k")))
            mine = await first
            if is_stream:
                assert answer.body.startswith(b": keep-alive\n\n")
                assert answer.body.endswith(mine.body)
            else:
                assert answer.body == mine.body
            assert len(home.sim.requests) == 1
            await other.aclose()

    asyncio.run(scene())


def test_a_call_that_fails_unpaid_in_another_process_is_begun_here(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            other = second_gateway(home, tmp_path)
            stall = home.sim.fault("stall_first_byte", is_billed=False)
            body = say("hello", stream=True)
            task = asyncio.create_task(home.ask(body, idempotency_key="k"))
            await stall.reached.wait()
            joined = asyncio.create_task(read_from(other, home, body))
            await asyncio.sleep(0)
            home.sim.fault("close_before_headers", times=1)
            stall.free()
            first, second = await task, await joined
            assert first.stream_text == second.stream_text == "hello"
            await other.aclose()

    async def read_from(gateway: Gateway, home: House, body: dict[str, Any]) -> Any:
        return await read(await gateway.chat(home.inbound(body, idempotency_key="k")))

    asyncio.run(scene())


def test_the_key_of_a_run_and_step_is_made_from_them(tmp_path: Path) -> None:
    from mooring.gateway.keys import Caller
    from mooring.journal import NewRun

    async def scene() -> None:
        async with house(tmp_path) as home:
            run_id = ids.new_id()
            await home.journal.create_run(
                NewRun(id=run_id, project_id="default", handler="agent", name="a", input=b"{}")
            )
            run = await home.journal.claim_run(["agent"])
            assert run is not None
            headers = {
                "x_mooring_run": ids.show("run", run_id),
                "x_mooring_step": "model-1",
                "x_mooring_epoch": str(run.epoch),
            }
            service = Caller.service("default")
            first = await home.ask(say("hi"), caller=service, **headers)
            second = await home.ask(say("hi"), caller=service, **{**headers, "x_mooring_epoch": str(run.epoch + 1)})
            assert second.body == first.body
            assert second.headers["x-mooring-replayed"] == "true"
            call = await home.journal.find_step("default", run_id, "model-1")
            assert call is not None
            assert call.key == f"run/{ids.show('run', run_id)}/model-1"
            body, elements = await home.journal.get_request("default", call.id)
            assert body == home.inbound(say("hi")).body
            assert len(elements) == 1

    asyncio.run(scene())
