"""A small HTTP server in a thread: answers what a test lays down, and keeps what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from mooring.client import discovery


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Answer(NamedTuple):
    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()
    is_cut: bool = False


def json_answer(data: Any, status: int = 200, **headers: str) -> Answer:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(status, json.dumps(data).encode(), (("content-type", "application/json"), *named))


def sse_answer(*lines: str, is_cut: bool = False) -> Answer:
    body = "".join(line + "\n\n" for line in lines).encode()
    return Answer(200, body, (("content-type", "text/event-stream"),), is_cut)


class Server:
    """`answers` are used up in order; `answer` serves whatever comes after them."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: list[Answer | Callable[[Asked], Answer]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            asked = Asked(
                self.command,
                self.path,
                {name.lower(): value for name, value in self.headers.items()},
                json.loads(raw) if raw else None,
            )
            server.asked.append(asked)
            answer = server.answers.pop(0)
            if callable(answer):
                answer = answer(asked)
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body) + (1 if answer.is_cut else 0)))
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = True

        do_GET = do_POST = handle_any

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if only the client was installed, and nothing was set."""
    monkeypatch.setattr(discovery, "load_host", lambda: None)
    monkeypatch.setattr(discovery, "start_temporary", None)
    monkeypatch.setattr(discovery, "local_worker", None)
    for name in ("MOORING_URL", "MOORING_API_KEY", "MOORING_HOME"):
        monkeypatch.delenv(name, raising=False)
