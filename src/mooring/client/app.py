"""`App`: what a program declares. Nothing happens at import: no connection, no file, no server."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel

from mooring.core.errors import ConfigError
from mooring.core.registry import did_you_mean
from mooring.core.seams import Hit
from mooring.core.text import digest

from . import discovery
from .chat import parse_output
from .context import AsyncContext
from .encoding import Where
from .events import Event
from .sync import Client, Run
from .tool import Tool, ToolDecorator

_is_loading: ContextVar[bool] = ContextVar("mooring_is_loading", default=False)


@contextmanager
def declaring_only() -> Iterator[None]:
    """While a worker loads an app, the app starts no runs."""
    token = _is_loading.set(True)
    try:
        yield
    finally:
        _is_loading.reset(token)


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a run stops; checked before each call. `max_repeats`: the same tool with the same arguments."""

    max_steps: int = 50
    max_cost_usd: str | None = None
    max_seconds: float | None = None
    max_repeats: int = 5


MOST_HITS = 100  # of one search, as the server allows


class Collection:
    """Documents by name; `search` is a tool that an agent can be given, and finds what `filter` lets through."""

    def __init__(self, name: str, sources: Sequence[str] = (), where: Where = None) -> None:
        self.name = name
        self.sources = tuple(sources)
        self.filter = where
        self.search: Tool[..., Any] = Tool(self._search, name=f"search_{name.replace('-', '_')}")

    async def _search(self, ctx: AsyncContext, query: str, limit: int = 5) -> list[Hit]:
        """Find passages of the documents that answer the query, best first."""
        limit = min(max(limit, 1), MOST_HITS)  # a model's wish, which no error should answer
        return list(await ctx.search(self.name, query, limit=limit, filter=self.filter))

    def __repr__(self) -> str:
        return f"Collection({self.name!r})"


class Agent:
    """A model with tools, instructions and limits."""

    def __init__(
        self,
        app: "App",
        name: str,
        *,
        model: str,
        tools: Sequence[Tool[..., Any]] = (),
        instructions: str = "",
        output: type[BaseModel] | None = None,
        limits: Limits | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.app = app
        self.name = name
        self.model = model
        self.instructions = instructions
        self.output = output
        self.limits = limits or Limits()
        self.options = options or {}
        self.tools = _by_name(tools, name)

    def start(
        self,
        input: Any,  # noqa: A002 - the word of the wire
        *,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
        key: str | None = None,
        client: Client | None = None,
    ) -> Run:
        """Queue a run and return at once; a worker does it. The caller's client, or one that lives with the program."""
        if _is_loading.get():
            raise ConfigError(
                f"The app starts agent '{self.name}' when it is loaded.",
                hint='Put the start under: if __name__ == "__main__":',
            )
        client = client or self.app.client
        path, hash_ = self.app.code if client.endpoint.is_service else (None, None)
        return client.runs.start(
            self.name,
            input,
            key=key,
            user=user,
            session=session,
            tags=tags,
            max_cost_usd=self.limits.max_cost_usd,
            app_path=path,
            app_digest=hash_,
        )

    def run(
        self,
        input: Any,  # noqa: A002
        *,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
        key: str | None = None,
        client: Client | None = None,
    ) -> Run:
        """Start a run, work on it here if this program is the app, and wait for its end."""
        run = self.start(input, user=user, session=session, tags=tags, key=key, client=client)
        with self._worker(run, client or self.app.client):
            run.wait()
        return run

    def stream(
        self,
        input: Any,  # noqa: A002
        *,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
        key: str | None = None,
        client: Client | None = None,
    ) -> Iterator[Event]:
        """Like `run`, with typed events as they happen."""
        run = self.start(input, user=user, session=session, tags=tags, key=key, client=client)
        with self._worker(run, client or self.app.client):
            yield from run.stream()

    def parse(self, output: Any) -> Any:
        """A run's output as the declared model's object, or as it is."""
        return output if self.output is None else self.output.model_validate(output)

    def parse_text(self, text: str) -> Any:
        """The model's last text as this agent's output, in JSON values."""
        return text if self.output is None else parse_output(self.output, text).model_dump(mode="json")

    def _worker(self, run: Run, client: Client) -> AbstractContextManager[None]:
        """A worker for this run, where the program itself is the app and the server is the home's own."""
        path = self.app.path
        if discovery.local_worker is None or path is None or not client.endpoint.is_service:
            return nullcontext()
        return discovery.local_worker(app_path=path, run_id=run.id, endpoint=client.endpoint)

    def __repr__(self) -> str:
        return f"Agent({self.name!r}, model={self.model!r}, tools={sorted(self.tools)})"


class App:
    """Declares tools, agents and collections. `deps` is called once per worker; tools find its result at `ctx.deps`."""

    def __init__(self, name: str, *, deps: Callable[[], Any] | None = None) -> None:
        self.name = name
        self.deps = deps
        self.agents: dict[str, Agent] = {}
        self.tools: dict[str, Tool[..., Any]] = {}
        self.collections: dict[str, Collection] = {}
        self.path = _declaring_file()
        self.tool = ToolDecorator(self._keep_tool)
        self._client: Client | None = None

    def agent(
        self,
        name: str,
        *,
        model: str,
        tools: Sequence[Tool[..., Any]] = (),
        instructions: str = "",
        output: type[BaseModel] | None = None,
        limits: Limits | None = None,
        **options: Any,
    ) -> Agent:
        """Declare an agent; `options` are the wire's own fields for every model call (`temperature`, ...)."""
        if name in self.agents:
            raise ConfigError(f"App '{self.name}' declares agent '{name}' twice.", hint="Give one another name.")
        self.agents[name] = Agent(
            self,
            name,
            model=model,
            tools=tools,
            instructions=instructions,
            output=output,
            limits=limits,
            options=options,
        )
        return self.agents[name]

    def collection(
        self,
        name: str,
        *,
        sources: Sequence[str] = (),
        filter: Where = None,  # noqa: A002 - the word of the wire
    ) -> Collection:
        """Declare documents; `sources` are files or folders relative to this file, `filter` what may be found."""
        return self.collections.setdefault(name, Collection(name, sources, filter))

    def find_agent(self, name: str) -> Agent:
        """The agent of this name.

        Raises:
            ConfigError: there is none; the nearest is suggested.
        """
        if name not in self.agents:
            raise ConfigError(f"App '{self.name}' has no agent '{name}'.", hint=did_you_mean(name, sorted(self.agents)))
        return self.agents[name]

    @property
    def code(self) -> tuple[str | None, str | None]:
        """Path and hash of the file that declares this app."""
        if self.path is None:
            return None, None
        return str(self.path), digest(self.path.read_bytes()).hex()

    @property
    def client(self) -> Client:
        """Made at first use; lives as long as the app."""
        if self._client is None:
            self._client = Client()
        return self._client

    def _keep_tool(self, made: Tool[..., Any]) -> None:
        if made.name in self.tools:
            raise ConfigError(f"App '{self.name}' declares tool '{made.name}' twice.", hint="Give one another name.")
        self.tools[made.name] = made

    def __repr__(self) -> str:
        return f"App({self.name!r}, agents={sorted(self.agents)})"


def _by_name(tools: Sequence[Tool[..., Any]], agent: str) -> dict[str, Tool[..., Any]]:
    named: dict[str, Tool[..., Any]] = {}
    for tool in tools:
        if not isinstance(tool, Tool):
            raise ConfigError(
                f"Agent '{agent}' was given {tool!r}, which is no tool.", hint="Decorate the function with @app.tool."
            )
        if tool.name in named:
            raise ConfigError(
                f"Agent '{agent}' has two tools named '{tool.name}'.", hint="Rename one: @app.tool(name=...)."
            )
        named[tool.name] = tool
    return named


def _declaring_file() -> Path | None:
    """The file that called `App(...)`; None in a notebook or a shell."""
    file = sys._getframe(2).f_globals.get("__file__")
    return Path(file).resolve() if file else None
