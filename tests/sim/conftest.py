"""A raw client for the double's tests: bytes on a socket, so that nothing hides what came."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import openai
import pytest

from mooring.sim import SimServer


class RawClient:
    """One connection; sends what it is told and reads what comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, method: str, path: str, body: Any = None, headers: Sequence[tuple[str, str]] = ()) -> None:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "host: sim", f"content-length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    async def head(self) -> tuple[int, dict[str, str]]:
        raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
        return int(first.split()[1]), dict(line.split(": ", 1) for line in lines)

    async def body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Sequence[tuple[str, str]] = ()
    ) -> tuple[int, dict[str, str], bytes]:
        self.send(method, path, body, headers)
        status, answered = await self.head()
        return status, answered, await self.body(answered)

    async def chat(self, model: str = "echo", text: str = "hello", **fields: Any) -> tuple[int, dict[str, str], bytes]:
        return await self.ask("POST", "/v1/chat/completions", chat_body(model, text, **fields))


def chat_body(model: str = "echo", text: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


@asynccontextmanager
async def connect(sim: SimServer) -> AsyncIterator[RawClient]:
    host, port = sim.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def sdk(sim: SimServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=sim.url + "/v1", api_key="none", max_retries=0) as client:
        yield client


def events_of(body: bytes) -> list[Any]:
    """The decoded `data:` of a stream; `[DONE]` stays text."""
    found = [event.removeprefix("data: ") for event in body.decode().split("\n\n") if event]
    return [event if event == "[DONE]" else json.loads(event) for event in found]


@pytest.fixture
def tools() -> list[dict[str, Any]]:
    order = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
    money = {"order": {"type": "string"}, "usd": {"type": "number"}}
    refund = {"type": "object", "properties": money, "required": ["order", "usd"]}
    return [
        {"type": "function", "function": {"name": "lookup", "description": "Look it up.", "parameters": order}},
        {"type": "function", "function": {"name": "refund", "description": "Refund it.", "parameters": refund}},
    ]
