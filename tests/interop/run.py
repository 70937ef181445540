"""Official SDKs, unchanged, against a real server: `python tests/interop/run.py [NAME …]`, or `make test-interop`.

Each SDK lives in an environment of its own under `.interop/`, made at the first run; one that cannot be installed is
skipped with its reason. The server speaks to the double by three wires, so each SDK crosses every pair.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.server.conftest import site  # noqa: E402

SDKS = {"openai": "openai", "anthropic": "anthropic", "google_genai": "google-genai", "mistralai": "mistralai"}
PRICES = {"*": {"input_usd": "0.25", "output_usd": "2"}}


def environment(name: str, package: str) -> Path | str:
    """The SDK's own Python, or why there is none."""
    folder = ROOT / ".interop" / name
    python = folder / "bin" / "python"
    if (folder / "ready").is_file():
        return python
    for command in ([sys.executable, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", "-q", package]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return (done.stderr or done.stdout).strip().splitlines()[-1]
    (folder / "ready").touch()
    return python


async def run(names: list[str]) -> int:
    failed = 0
    os.environ["INTEROP_KEY"] = "a key of the double"
    with tempfile.TemporaryDirectory() as folder:
        async with contextlib.AsyncExitStack() as stack:
            made = await stack.enter_async_context(site(Path(folder) / "double"))
            base = made.sim.url
            own = {"api_key": "env:INTEROP_KEY", "attempt_header": True, "prices": PRICES}
            providers = {
                "sim": {"type": "sim", "base_url": f"{base}/v1", "prices": PRICES},
                "anthropic": {"type": "anthropic", "base_url": f"{base}/v1", **own},
                "gemini": {"type": "gemini", "base_url": f"{base}/v1beta", **own},
            }
            served = await stack.enter_async_context(site(Path(folder) / "served", gateway={"providers": providers}))
            for name in names:
                failed += await one(name, served.url, served.key)
    return failed


async def one(name: str, url: str, key: str) -> int:
    python = await asyncio.to_thread(environment, name, SDKS[name])
    if isinstance(python, str):
        print(f"SKIP {name}: it cannot be installed here: {python}")
        return 0
    script = Path(__file__).parent / f"with_{name}.py"
    process = await asyncio.create_subprocess_exec(str(python), str(script), url, key)
    code = await process.wait()
    print(f"{'ok' if code == 0 else 'FAILED'} {name}", flush=True)
    return int(code != 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(run(sys.argv[1:] or list(SDKS))))
