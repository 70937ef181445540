"""The built-in models over a real socket, with the official client and by hand."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import uvicorn

from mooring.local.serve import bind
from mooring.local.server import create_app
from mooring.local.shelf import Shelf
from mooring.local.wire import count_tokens
from mooring.net import Deadlines, EgressPolicy, HttpClient, Request

ASK = json.dumps(
    {
        "question": "When are refunds paid?",
        "passages": [{"number": 1, "path": "a.md", "text": "Refunds are paid in 5 days."}],
    }
)
ANSWER = "Refunds are paid in 5 days. [1]"
NOWHERE = Path("/nonexistent")
JSON = [(b"content-type", b"application/json")]
MESSAGES: Any = [{"role": "system", "content": "Cite."}, {"role": "user", "content": ASK}]


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """The address of a running server."""
    shelf = Shelf(NOWHERE, str(NOWHERE))  # no weights there: the reader goes by words alone
    listener = bind(0)
    server = uvicorn.Server(uvicorn.Config(create_app(shelf), log_level="warning", lifespan="off"))
    with listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


def with_client(use: Callable[[openai.AsyncOpenAI], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with serving() as url, openai.AsyncOpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
            await use(client)

    asyncio.run(run())


def test_an_answer_comes_with_its_usage() -> None:
    async def use(client: openai.AsyncOpenAI) -> None:
        answer = await client.chat.completions.create(model="reader", messages=MESSAGES)
        assert answer.choices[0].message.content == ANSWER
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == count_tokens("Cite.") + count_tokens(ASK)
        assert answer.usage.completion_tokens == count_tokens(ANSWER) == 10

    with_client(use)


def test_a_stream_adds_up_to_the_same_answer() -> None:
    async def use(client: openai.AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(
            model="local/reader", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 10

    with_client(use)


def test_usage_is_streamed_only_to_those_who_asked() -> None:
    async def use(client: openai.AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(model="reader", messages=MESSAGES, stream=True)
        chunks = [chunk async for chunk in stream]
        assert all(chunk.choices and chunk.usage is None for chunk in chunks)

    with_client(use)


def test_plain_text_with_the_question_in_the_last_line_is_understood() -> None:
    async def use(client: openai.AsyncOpenAI) -> None:
        parts: Any = [{"type": "text", "text": "Refunds are paid in 5 days.\n\nWhen are refunds paid?"}]
        answer = await client.chat.completions.create(model="reader", messages=[{"role": "user", "content": parts}])
        assert answer.choices[0].message.content == ANSWER

    with_client(use)


def test_the_models_are_listed() -> None:
    async def use(client: openai.AsyncOpenAI) -> None:
        assert [model.id async for model in client.models.list()] == ["reader", "minilm"]

    with_client(use)


def test_bad_requests_get_errors_in_the_callers_own_wire_format() -> None:
    bodies = {
        b"not json": "invalid_request",
        b"[" * 100_000: "invalid_request",
        b'{"model": "reader", "messages": []}': "invalid_request",
        b'{"model": "reader", "messages": [{"role": "user", "content": "Hello?"}]}': "invalid_request",
        b'{"model": "reader", "n": 2, "messages": [{"role": "user", "content": "a\\nb"}]}': "invalid_request",
        b'{"model": "gpt", "messages": [{"role": "user", "content": "a\\nb"}]}': "not_found",
        b'{"model": "reader", "messages": [{"role": "user", "content": "' + b"x" * 9_000_000 + b'"}]}': "too_large",
    }

    async def run() -> None:
        deadlines = Deadlines(connect_seconds=5, first_byte_seconds=20, idle_seconds=20, total_seconds=30)
        http = HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",)))
        try:
            async with serving() as url:
                for body, code in bodies.items():
                    request = Request(
                        "POST", url + "/v1/chat/completions", [(b"content-type", b"application/json")], body
                    )
                    response = await http.send(request, deadlines=deadlines)
                    error = json.loads(await response.read(100_000))["error"]
                    assert error["code"] == code
                    assert error["type"] == "invalid_request_error"
                    assert response.status == {"invalid_request": 400, "not_found": 404, "too_large": 413}[code]
        finally:
            await http.aclose()

    asyncio.run(run())


def test_the_process_says_where_it_listens_and_ends_on_sigterm() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mooring.local", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) in (0, -signal.SIGTERM)


def test_the_process_takes_an_inherited_socket() -> None:
    with bind(0) as listener:
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "mooring.local", "--fd", str(listener.fileno())],
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[listener.fileno()],
            env=dict(os.environ),
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == f"listening on http://127.0.0.1:{port}\n"
            process.terminate()
            process.wait(timeout=120)


def test_a_taken_port_says_what_to_do() -> None:
    with bind(0) as listener:
        taken = str(listener.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "mooring.local", "--port", taken], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "Try --port 0." in done.stderr
