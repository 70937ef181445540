"""What a tool gets as its first parameter: whose run it is, the key of this very call, and durable steps.

`Context` is for `def` tools (they run in a thread of their own), `AsyncContext` for `async def` ones.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar, cast

import msgspec

from mooring.core.errors import InvalidRequest
from mooring.core.seams import Hit

from .encoding import Where, canonical, plain
from .results import Completion

T = TypeVar("T")


class ContextBackend(Protocol):
    """What the worker does for a context: the journal's side of it."""

    key: str
    user: str | None
    session: str | None
    run_id: str
    deps: Any

    async def recorded(self, step: str) -> bytes | None:
        """The value of an inner step that ran before, as JSON."""
        ...

    async def record(self, step: str, value: bytes) -> None: ...

    async def model(self, step: str, messages: Any, options: dict[str, Any]) -> Completion: ...

    async def search(
        self, step: str, collection: str, query: str, limit: int, where: Where = None
    ) -> Sequence[Hit]: ...

    def now_us(self) -> int: ...


class _Base:
    def __init__(self, backend: ContextBackend) -> None:
        self._backend = backend
        self._seen: dict[str, int] = {}

    @property
    def key(self) -> str:
        """Stays the same however often this call is run again: hand it to the service as its idempotency key."""
        return self._backend.key

    @property
    def user(self) -> str | None:
        return self._backend.user

    @property
    def session(self) -> str | None:
        return self._backend.session

    @property
    def run_id(self) -> str:
        return self._backend.run_id

    @property
    def deps(self) -> Any:
        """What `App(deps=...)` made, once per worker."""
        return self._backend.deps

    def _step(self, name: str) -> str:
        """Steps are known by name and occurrence."""
        self._seen[name] = self._seen.get(name, 0) + 1
        return f"{name}#{self._seen[name]}"


class AsyncContext(_Base):
    """The context of an `async def` tool."""

    async def step(self, name: str, function: Callable[..., T | Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        """Run a function once per run: a resumed run gets the recorded value. The value must be plain JSON."""
        step = self._step(name)
        recorded = await self._backend.recorded(step)
        if recorded is not None:
            return cast(T, msgspec.json.decode(recorded))
        value = function(*args, **kwargs)
        if inspect.isawaitable(value):
            value = await value
        await self._backend.record(step, step_value(name, value))
        return cast(T, value)

    async def model(self, messages: str | Sequence[dict[str, Any]], *, model: str, **options: Any) -> Completion:
        """Ask a model; paid once, whatever happens to this worker."""
        return await self._backend.model(self._step("model"), messages, {"model": model, **options})

    async def search(
        self,
        collection: str,
        query: str,
        *,
        limit: int = 5,
        filter: Where = None,  # noqa: A002 - the word of the wire
    ) -> Sequence[Hit]:
        """Passages of a collection, best first: part of this run, and searched once however often it is resumed."""
        return await self._backend.search(self._step("search"), collection, query, limit, filter)

    async def sleep(self, seconds: float) -> None:
        """Wait until a moment that is written down: a resumed run waits for the rest only."""
        step = self._step("sleep")
        recorded = await self._backend.recorded(step)
        if recorded is None:
            until_us = self._backend.now_us() + round(seconds * 1e6)
            await self._backend.record(step, canonical(until_us))
        else:
            until_us = int(recorded)
        await asyncio.sleep(max(0, until_us - self._backend.now_us()) / 1e6)


class Context(_Base):
    """The context of a `def` tool: the same, blocking."""

    def __init__(self, backend: ContextBackend, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(backend)
        self._loop = loop
        self._core = AsyncContext(backend)

    def step(self, name: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a function once per run: a resumed run gets the recorded value. The value must be plain JSON."""
        step = self._core._step(name)
        recorded = self._wait(self._backend.recorded(step))
        if recorded is not None:
            return cast(T, msgspec.json.decode(recorded))
        value = function(*args, **kwargs)  # in the tool's own thread, not on the worker's loop
        self._wait(self._backend.record(step, step_value(name, value)))
        return value

    def model(self, messages: str | Sequence[dict[str, Any]], *, model: str, **options: Any) -> Completion:
        """Ask a model; paid once, whatever happens to this worker."""
        return self._wait(self._core.model(messages, model=model, **options))

    def search(
        self,
        collection: str,
        query: str,
        *,
        limit: int = 5,
        filter: Where = None,  # noqa: A002 - the word of the wire
    ) -> Sequence[Hit]:
        return self._wait(self._core.search(collection, query, limit=limit, filter=filter))

    def sleep(self, seconds: float) -> None:
        """Wait until a moment that is written down: a resumed run waits for the rest only."""
        self._wait(self._core.sleep(seconds))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def step_value(name: str, value: object) -> bytes:
    """The JSON of a step's value.

    Raises:
        InvalidRequest: it would come back as something else after a crash (a tuple, a set, a model).
    """
    encoded = canonical(plain(value))
    if msgspec.json.decode(encoded) != value:
        raise InvalidRequest(
            f"Step '{name}' returned a {type(value).__name__}, which JSON does not bring back as it was.",
            hint="Return text, numbers, booleans, None, lists or dicts with text keys.",
        )
    return encoded
