"""A browser without a window: the real application over real rooms, asked in process; its cookies are kept."""

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from mooring.config import Config, StorageSection
from mooring.server.exchange import Exchange
from mooring.server.routes import create_application
from mooring.server.server import Application
from mooring.server.ui.session import login_path, mint
from mooring.storage import Home
from mooring.wiring import Server, build

HOST = "127.0.0.1:4790"


@dataclass
class Page:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def words(self) -> str:
        """The page's text as a reader sees it, white space aside."""
        return " ".join(re.sub(r"<[^>]+>", " ", self.text).split())


@dataclass
class Browser:
    """One browser at one `serve`."""

    rooms: Server
    application: Application
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, url: str, **headers: str) -> Page:
        return await self._send("GET", url, b"", headers)

    async def post(
        self, url: str, fields: dict[str, str] | None = None, *, origin: str | None = f"http://{HOST}"
    ) -> Page:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if origin is not None:
            headers["origin"] = origin
        return await self._send("POST", url, urlencode(fields or {}).encode(), headers)

    async def sign_in(self) -> None:
        token = await mint(self.rooms, "default")
        assert (await self.get(login_path(token))).status == 200
        assert (await self.post("/ui/login", {"token": token})).status == 303

    async def _send(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> Page:
        parts = urlsplit(url)
        sent = {"host": HOST, **headers}
        if self.cookies and "cookie" not in sent:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        exchange = Exchange(
            method,
            parts.path,
            {name.lower().encode(): value.encode() for name, value in sent.items()},
            query_string=parts.query.encode(),
            body_limit_bytes=self.rooms.config.server.body_limit_bytes,
        )
        exchange.feed(body)
        exchange.end()
        reply = await self.application(exchange)
        pairs = [("content-type", reply.content_type)]
        pairs += [(name.decode(), value.decode()) for name, value in reply.headers]
        for name, value in pairs:
            if name == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.split(";")[0]
        whole = reply.body if isinstance(reply.body, bytes) else b"".join([piece async for piece in reply.body])
        return Page(reply.status, dict(pairs), whole)


Open = Callable[[], AbstractAsyncContextManager[Browser]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because sockets live in it."""
    made = Path(tempfile.mkdtemp(prefix="mooring-ui-"))
    yield made
    shutil.rmtree(made)


def opener(folder: Path, url: str | None) -> Open:
    """`async with opener(…)() as browser`: each is a `serve` of its own on the same home."""

    @contextlib.asynccontextmanager
    async def open_one() -> AsyncIterator[Browser]:
        if url is not None:  # it holds a password, so the configuration takes it by reference alone
            (folder / "url").write_text(url)
        reference = f"file:{folder / 'url'}" if url is not None else None
        config = Config(storage=StorageSection(url=reference))
        async with build(config, Home(folder / "home"), kind="serve") as rooms:
            yield Browser(rooms, create_application(rooms))

    return open_one


@pytest.fixture
def browser(folder: Path) -> Open:
    """On SQLite."""
    return opener(folder, None)


@pytest.fixture
def browser_on_either(folder: Path, database_url: str) -> Open:
    """On each database."""
    return opener(folder, database_url if database_url.startswith("postgresql") else None)
