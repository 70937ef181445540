"""Model servers of other makers on this machine, as far as discovery looks at them: real sockets, canned answers."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

OLLAMA = {
    "/v1/models": {"object": "list", "data": [{"id": "llama3.2:3b", "owned_by": "library"}]},
    "/": "Ollama is running",
}
VLLM = {"/v1/models": {"object": "list", "data": [{"id": "Qwen/Qwen3-8B", "object": "model", "owned_by": "vllm"}]}}
CHAT = {
    "id": "c",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
# It has a shim of Ollama's API too, so that the paths alone do not tell them apart.
LLAMACPP = {
    "/v1/models": {"models": [{}], "data": [{"id": "gemma.gguf", "owned_by": "llamacpp"}]},
    "/api/tags": {"models": [{}]},
    "/": "<html>llama.cpp</html>",
}
STRANGER = {"/": "It works!"}
OTHER_MODELS = {"/v1/models": {"data": [{"id": "m", "owned_by": "somebody"}]}, "/": "hello"}


class Canned:
    """One server; `asked` are the paths that it was asked for."""

    def __init__(self, pages: dict[str, Any]) -> None:
        self.pages = pages
        self.asked: list[str] = []
        self.address = ""
        self.writers: list[asyncio.StreamWriter] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode()
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
                self.asked.append(path)
                page = self.pages.get(path)
                body = page.encode() if isinstance(page, str) else json.dumps(page).encode()
                status = b"HTTP/1.1 200 OK" if page is not None else b"HTTP/1.1 404 Not Found"
                writer.write(status + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def listening(pages: dict[str, Any]) -> AsyncIterator[Canned]:
    """A server that answers with these pages, on a port of its own."""
    canned = Canned(pages)
    server = await asyncio.start_server(canned.handle, "127.0.0.1", 0)
    canned.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield canned
    finally:
        server.close()
        for writer in canned.writers:
            writer.close()
        await server.wait_closed()
