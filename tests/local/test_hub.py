"""Weights from a hub, played by a server on loopback: what comes is checked, and nothing else is kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from mooring.core.errors import ConfigError, UpstreamError
from mooring.local.hub import download
from mooring.local.serve import bind

LOOPBACK = ("127.0.0.0/8",)


@asynccontextmanager
async def hub(folder: Path) -> AsyncIterator[str]:
    """A hub that redirects to where its files are, as the real one does."""

    async def resolve(request: Request) -> Response:
        return RedirectResponse("/files/" + request.path_params["name"])

    async def send(request: Request) -> Response:
        path = folder / request.path_params["name"]
        return FileResponse(path) if path.is_file() else Response(status_code=404)

    app = Starlette(routes=[Route("/resolve/main/{name}", resolve), Route("/files/{name}", send)])
    listener = bind(0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    with listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/resolve/main"
        finally:
            server.should_exit = True
            await task


def fetch(source: Path, target: Path) -> Path:
    async def run() -> Path:
        async with hub(source) as url:
            return await download(target, url=url, allow=LOOPBACK)

    return asyncio.run(run())


def test_the_files_are_fetched_once(weights: Path, tmp_path: Path) -> None:
    target = tmp_path / "models" / "mini"
    assert fetch(weights, target) == target
    assert sorted(path.name for path in target.iterdir()) == ["model.safetensors", "vocab.txt"]
    assert fetch(tmp_path / "nothing", target) == target
    assert [path.name for path in target.parent.iterdir()] == ["mini"]


def test_other_files_are_refused_and_not_kept(tmp_path: Path) -> None:
    source = tmp_path / "hub"
    source.mkdir()
    for name in ("model.safetensors", "vocab.txt"):
        (source / name).write_bytes(b"something else")
    with pytest.raises(ConfigError, match="not the file of all-MiniLM-L6-v2"):
        fetch(source, tmp_path / "models" / "mini")
    assert not list((tmp_path / "models").iterdir())


def test_a_hub_without_the_files_says_what_else_there_is(tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match="answered 404"):
        fetch(tmp_path, tmp_path / "models" / "mini")
