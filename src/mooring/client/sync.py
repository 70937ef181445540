"""The blocking face, made from `client.py` by `python -m mooring.client.generate`. Do not edit."""
# ruff: noqa: A002 - `input` is the word of the wire

from collections.abc import Iterator, Sequence
from typing import Any, Self, TypeVar, cast, overload

from pydantic import BaseModel

from mooring.core.seams import Hit

from .chat import Messages
from .client import AsyncCalls, AsyncClient, AsyncRun, AsyncRuns
from .discovery import Endpoint
from .encoding import Where
from .events import Event
from .loop import LoopThread
from .results import Answer, CallInfo, Completion, Embeddings, RunFact

M = TypeVar("M", bound=BaseModel)


class Client:
    """Talks to a Mooring server: `MOORING_URL` + `MOORING_API_KEY`, else the home's own, else a temporary one."""

    def __init__(self, url: str | None = None, key: str | None = None, *, timeout_seconds: float = 600.0) -> None:
        self._core = AsyncClient(url, key, timeout_seconds=timeout_seconds)
        self._loop = LoopThread()
        self.endpoint: Endpoint = self._core.endpoint

    @property
    def runs(self) -> "Runs":
        return Runs(self._loop, self._core.runs)

    @property
    def calls(self) -> "Calls":
        return Calls(self._loop, self._core.calls)

    @overload
    def chat(
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
    def chat(
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

    def chat(
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
        core: Any = self._core
        return cast(
            "Completion | BaseModel",
            self._loop.run(
                core.chat(
                    messages, model=model, output=output, key=key, user=user, session=session, tags=tags, **options
                )
            ),
        )

    def stream(
        self,
        messages: Messages,
        *,
        model: str,
        key: str | None = None,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
        **options: Any,
    ) -> Iterator[Event]:
        """The answer as it comes: `TextDelta`s, `ToolCall`s, and `Finished` with the whole completion."""
        return self._loop.iterate(
            self._core.stream(messages, model=model, key=key, user=user, session=session, tags=tags, **options)
        )

    def embed(
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
        return self._loop.run(
            self._core.embed(texts, model=model, dimensions=dimensions, key=key, user=user, session=session, tags=tags)
        )

    def ask(
        self,
        question: str,
        *,
        collection: str | None = None,
        model: str | None = None,
        limit: int | None = None,
        filter: Where = None,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
    ) -> Answer:
        """An answer from documents, with citations that resolve; says so when the passages hold none."""
        return self._loop.run(
            self._core.ask(
                question,
                collection=collection,
                model=model,
                limit=limit,
                filter=filter,
                user=user,
                session=session,
                tags=tags,
            )
        )

    def search(
        self,
        query: str,
        *,
        collection: str | None = None,
        limit: int = 10,
        filter: Where = None,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
    ) -> list[Hit]:
        """Passages of a collection, best first; `filter` holds conditions on the documents' metadata."""
        return self._loop.run(
            self._core.search(
                query, collection=collection, limit=limit, filter=filter, user=user, session=session, tags=tags
            )
        )

    def close(self) -> None:
        self._loop.run(self._core.close())
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Calls:
    """Calls as the journal holds them."""

    def __init__(self, loop: LoopThread, core: AsyncCalls) -> None:
        self._loop = loop
        self._core = core

    def get(self, call_id: str) -> CallInfo:
        """One call with its attempts and cost."""
        return self._loop.run(self._core.get(call_id))


class Runs:
    """Runs: start, find, follow, cancel."""

    def __init__(self, loop: LoopThread, core: AsyncRuns) -> None:
        self._loop = loop
        self._core = core

    def start(
        self,
        agent: str,
        input: Any,
        *,
        key: str | None = None,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
        max_cost_usd: str | None = None,
        app_path: str | None = None,
        app_digest: str | None = None,
    ) -> "Run":
        """Queue a run; with a `key`, the run that the key started before. `app_path` needs the home's service key."""
        return Run(
            self._loop,
            self._loop.run(
                self._core.start(
                    agent,
                    input,
                    key=key,
                    user=user,
                    session=session,
                    tags=tags,
                    max_cost_usd=max_cost_usd,
                    app_path=app_path,
                    app_digest=app_digest,
                )
            ),
        )

    def get(self, run_id: str) -> "Run":
        return Run(self._loop, self._loop.run(self._core.get(run_id)))

    def list(self) -> list["Run"]:
        """The latest runs, newest first."""
        return [Run(self._loop, core) for core in self._loop.run(self._core.list())]

    def events(self, run_id: str, *, after: int = 0) -> Iterator[RunFact]:
        """The run's facts after `after`, live, until it ends or parks; a broken connection is taken up again.

        Raises:
            Unavailable: the server was away for a minute.
        """
        return self._loop.iterate(self._core.events(run_id, after=after))

    def cancel(self, run_id: str) -> "Run":
        return Run(self._loop, self._loop.run(self._core.cancel(run_id)))

    def resume(self, run_id: str) -> "Run":
        """Queue a parked run again."""
        return Run(self._loop, self._loop.run(self._core.resume(run_id)))


class Run:
    """A run of an agent. Its properties are as of the last `refresh`, `wait` or `stream`."""

    def __init__(self, loop: LoopThread, core: AsyncRun) -> None:
        self._loop = loop
        self._core = core

    @property
    def id(self) -> str:
        return self._core.id

    @property
    def state(self) -> str:
        return self._core.state

    @property
    def output(self) -> Any:
        """What the agent answered; None while it works.

        Raises:
            MooringError: the run failed; the error is its own.
        """
        return self._core.output

    @property
    def error_code(self) -> str | None:
        return self._core.error_code

    @property
    def error_message(self) -> str | None:
        return self._core.error_message

    @property
    def cost_nanos(self) -> int:
        return self._core.cost_nanos

    def refresh(self) -> None:
        self._loop.run(self._core.refresh())

    def wait(self) -> None:
        """Until it is over, or parked and waiting for a person."""
        self._loop.run(self._core.wait())

    def events(self, *, after: int = 0) -> Iterator[RunFact]:
        """Its facts as the journal holds them; `after` is the last `seq` seen."""
        return self._loop.iterate(self._core.events(after=after))

    def stream(self, *, after: int = 0) -> Iterator[Event]:
        """Typed events, `Finished` last; `after` is the `seq` of the last one seen."""
        return self._loop.iterate(self._core.stream(after=after))

    def cancel(self) -> None:
        self._loop.run(self._core.cancel())
