"""The straight line from a program to a server: `AsyncClient`. `sync.py`, the blocking one, is made from it.

Public methods here are the public face: after a change run `python -m mooring.client.generate`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self, TypeVar, overload

import msgspec
from pydantic import BaseModel

from mooring.core.errors import Unavailable, UpstreamMalformed
from mooring.core.seams import Hit

from .chat import ChunkReader, Messages, chat_body, completion_of, parse_output, typed_events
from .discovery import Endpoint, find_endpoint
from .embedding import bodies, joined, part_of
from .encoding import Where, call_headers, convert, given, plain
from .events import Event, EventReader, Finished
from .patience import Patience
from .results import Answer, CallInfo, Completion, Embeddings, RunFact, RunState, failure_of
from .transport import Transport

M = TypeVar("M", bound=BaseModel)


class AsyncClient:
    """Talks to a Mooring server: `MOORING_URL` + `MOORING_API_KEY`, else the home's own, else a temporary one."""

    def __init__(self, url: str | None = None, key: str | None = None, *, timeout_seconds: float = 600.0) -> None:
        self.endpoint: Endpoint = find_endpoint(url, key)
        self._transport = Transport(self.endpoint, timeout_seconds=timeout_seconds)

    @property
    def runs(self) -> "AsyncRuns":
        return AsyncRuns(self._transport)

    @property
    def calls(self) -> "AsyncCalls":
        return AsyncCalls(self._transport)

    @overload
    async def chat(
        self,
        messages: Messages,
        *,
        model: str,
        output: None = None,
        key: str | None = None,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
        **options: Any,
    ) -> Completion: ...

    @overload
    async def chat(
        self,
        messages: Messages,
        *,
        model: str,
        output: type[M],
        key: str | None = None,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
        **options: Any,
    ) -> M: ...

    async def chat(
        self,
        messages: Messages,
        *,
        model: str,
        output: type[BaseModel] | None = None,
        key: str | None = None,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
        **options: Any,
    ) -> Completion | BaseModel:
        """One answer; with `output=Model`, a validated object. `options` are the wire's own fields.

        With a `key` the answer is paid once: the same key and messages get the recorded answer.

        Raises:
            UpstreamMalformed: the answer does not fit `output`.
            MooringError: what the server says, as the class of its code.
        """
        body = chat_body(messages, model, options, output=output)
        reply = await self._transport.call("POST", "/v1/chat/completions", body, call_headers(key, user, session, tags))
        completion = completion_of(reply)
        return completion if output is None else parse_output(output, completion.text)

    async def stream(
        self,
        messages: Messages,
        *,
        model: str,
        key: str | None = None,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
        **options: Any,
    ) -> AsyncIterator[Event]:
        """The answer as it comes: `TextDelta`s, `ToolCall`s, and `Finished` with the whole completion."""
        body = chat_body(messages, model, options)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        async for event in self.send_stream(body, call_headers(key, user, session, tags)):
            yield event

    async def embed(
        self,
        texts: str | Sequence[str],
        *,
        model: str = "local/minilm",
        dimensions: int | None = None,
        key: str | None = None,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
    ) -> Embeddings:
        """A vector for each text, in order; many texts go in batches, each a call of its own.

        With a `key` each batch is paid once: the same key and texts get the recorded vectors.

        Raises:
            MooringError: what the server says, as the class of its code.
        """
        asked = [texts] if isinstance(texts, str) else texts
        parts: list[Embeddings] = []
        for number, body in enumerate(bodies(asked, model, dimensions)):
            batch_key = f"{key}/{number}" if key and number else key
            headers = call_headers(batch_key, user, session, tags)
            reply = await self._transport.call("POST", "/v1/embeddings", body, headers)
            parts.append(part_of(reply, len(body["input"])))
        return joined(parts)

    async def ask(
        self,
        question: str,
        *,
        collection: str | None = None,
        model: str | None = None,
        limit: int | None = None,
        filter: Where = None,  # noqa: A002 - the word of the wire
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
    ) -> Answer:
        """An answer from documents, with citations that resolve; says so when the passages hold none."""
        body = {"question": question, "collection": collection, "model": model, "limit": limit, "filter": filter}
        reply = await self._transport.call("POST", "/v1/ask", given(body), call_headers(None, user, session, tags))
        return convert(reply.data, Answer, "/v1/ask")

    async def search(
        self,
        query: str,
        *,
        collection: str | None = None,
        limit: int = 10,
        filter: Where = None,  # noqa: A002 - the word of the wire
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
    ) -> list[Hit]:
        """Passages of a collection, best first; `filter` holds conditions on the documents' metadata."""
        headers = call_headers(None, user, session, tags)
        return await self.send_search(query, headers, collection=collection, limit=limit, where=filter)

    async def send_search(
        self,
        query: str,
        headers: Mapping[str, str],
        *,
        collection: str | None = None,
        limit: int = 10,
        where: Where = None,
    ) -> list[Hit]:
        """A search with the headers of a run's step: what the worker uses."""
        body = given({"query": query, "collection": collection, "limit": limit, "filter": where})
        reply = await self._transport.call("POST", "/v1/search", body, headers)
        return convert(reply.data.get("data") if isinstance(reply.data, dict) else None, list[Hit], "/v1/search")

    async def send_stream(self, body: Any, headers: Mapping[str, str]) -> AsyncIterator[Event]:
        """A streamed chat call from a body as it goes on the wire (a dict, or bytes): what the worker uses."""
        path = "/v1/chat/completions"
        response = await self._transport.open("POST", path, body, headers, accept="text/event-stream")
        reader = ChunkReader(
            call_id=response.headers.get("x-mooring-call"),
            is_replayed=response.headers.get("x-mooring-replayed") == "true",
        )
        async for event in typed_events(self._transport.lines(response), reader):
            yield event

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncCalls:
    """Calls as the journal holds them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def get(self, call_id: str) -> CallInfo:
        """One call with its attempts and cost."""
        data = (await self._transport.call("GET", f"/v1/calls/{call_id}")).data
        return CallInfo(id=data["id"], state=data["state"], raw=data)


class AsyncRuns:
    """Runs: start, find, follow, cancel."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def start(
        self,
        agent: str,
        input: Any,  # noqa: A002 - the word of the wire and of the public face
        *,
        key: str | None = None,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
        max_cost_usd: str | None = None,
        app_path: str | None = None,
        app_digest: str | None = None,
    ) -> "AsyncRun":
        """Queue a run; with a `key`, the run that the key started before. `app_path` needs the home's service key."""
        body = {
            "agent": agent,
            "input": plain(input),
            "user": user,
            "session": session,
            "tags": list(tags),
            "max_cost_usd": max_cost_usd,
            "app_path": app_path,
            "app_digest": app_digest,
        }
        headers = {"idempotency-key": key} if key else {}
        reply = await self._transport.call("POST", "/v1/runs", given(body), headers)
        return AsyncRun(self._transport, run_state(reply.data))

    async def get(self, run_id: str) -> "AsyncRun":
        reply = await self._transport.call("GET", f"/v1/runs/{run_id}")
        return AsyncRun(self._transport, run_state(reply.data))

    async def list(self) -> list["AsyncRun"]:
        """The latest runs, newest first."""
        reply = await self._transport.call("GET", "/v1/runs")
        return [AsyncRun(self._transport, run_state(data)) for data in reply.data["data"]]

    async def events(self, run_id: str, *, after: int = 0) -> AsyncIterator[RunFact]:
        """The run's facts after `after`, live, until it ends or parks; a broken connection is taken up again.

        Raises:
            Unavailable: the server was away for a minute.
        """
        patience = Patience()
        while True:
            problem = None
            try:
                async for fact in self._follow(run_id, after):
                    if fact is None:
                        return
                    patience.renew()
                    after = fact.seq or after
                    yield fact
            except Unavailable as error:
                problem = error
            await patience.wait(problem)

    async def cancel(self, run_id: str) -> "AsyncRun":
        reply = await self._transport.call("POST", f"/v1/runs/{run_id}/cancel", {})
        return AsyncRun(self._transport, run_state(reply.data))

    async def resume(self, run_id: str) -> "AsyncRun":
        """Queue a parked run again."""
        reply = await self._transport.call("POST", f"/v1/runs/{run_id}/resume", {})
        return AsyncRun(self._transport, run_state(reply.data))

    async def _follow(self, run_id: str, after: int) -> AsyncIterator[RunFact | None]:
        """One connection's facts, and None at the end of the run."""
        path = f"/v1/runs/{run_id}/events?after={after}"
        response = await self._transport.open("GET", path, accept="text/event-stream")
        async for line in self._transport.lines(response):
            if line.event == "end":
                yield None
                return
            if line.data:
                data = msgspec.json.decode(line.data)
                yield RunFact(seq=data.get("seq") or 0, kind=data.get("kind", line.event), data=data.get("payload"))


class AsyncRun:
    """A run of an agent. Its properties are as of the last `refresh`, `wait` or `stream`."""

    def __init__(self, transport: Transport, state: RunState) -> None:
        self._transport = transport
        self._state = state

    @property
    def id(self) -> str:
        return self._state.id

    @property
    def state(self) -> str:
        return self._state.state

    @property
    def output(self) -> Any:
        """What the agent answered; None while it works.

        Raises:
            MooringError: the run failed; the error is its own.
        """
        if self._state.error_code and self._state.is_over:
            raise failure_of(self._state)
        return self._state.output

    @property
    def error_code(self) -> str | None:
        return self._state.error_code

    @property
    def error_message(self) -> str | None:
        return self._state.error_message

    @property
    def cost_nanos(self) -> int:
        return self._state.cost_nanos

    async def refresh(self) -> None:
        self._state = run_state((await self._transport.call("GET", f"/v1/runs/{self.id}")).data)

    async def wait(self) -> None:
        """Until it is over, or parked and waiting for a person."""
        async for _ in AsyncRuns(self._transport).events(self.id):
            pass
        await self.refresh()

    async def events(self, *, after: int = 0) -> AsyncIterator[RunFact]:
        """Its facts as the journal holds them; `after` is the last `seq` seen."""
        async for fact in AsyncRuns(self._transport).events(self.id, after=after):
            yield fact

    async def stream(self, *, after: int = 0) -> AsyncIterator[Event]:
        """Typed events, `Finished` last; `after` is the `seq` of the last one seen."""
        reader = EventReader()
        seq = after
        async for fact in self.events(after=after):
            seq = fact.seq or seq
            for event in reader.read(fact):
                yield event
        await self.refresh()
        state = self._state
        yield Finished(state.state, state.output, state.error_code, state.error_message, seq=seq)

    async def cancel(self) -> None:
        self._state = (await AsyncRuns(self._transport).cancel(self.id))._state


def run_state(data: Any) -> RunState:
    """The server's JSON of a run.

    Raises:
        UpstreamMalformed: it is none.
    """
    try:
        error = data.get("error") or {}
        return RunState(
            id=data["id"],
            state=data["state"],
            agent=data.get("agent") or "",
            output=data.get("output"),
            error_code=error.get("code"),
            error_message=error.get("message"),
            cost_nanos=data.get("settled_nanos") or 0,
        )
    except (KeyError, AttributeError, TypeError) as error:
        raise UpstreamMalformed("The server's answer is no run.", hint="Is this a Mooring server?") from error
