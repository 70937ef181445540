"""Official SDKs and frameworks, unchanged, against a real server: `python tests/interop/run.py [NAME …]`.

Each lives in an environment of its own under `.interop/`, made at the first run from the newest versions that the
registry has; one that cannot be installed is skipped with its reason. `--once` removes an environment after its run:
together they are several gigabytes. The server speaks to the double by three wires, so each crosses every pair.
"""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.server.conftest import site  # noqa: E402

INSTALLED = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google_genai": "google-genai",
    "mistralai": "mistralai",
    "cohere": "cohere",
    "langchain": "langchain langgraph langchain-openai langchain-anthropic langchain-google-genai langchain-mistralai",
    "llamaindex": "llama-index-core llama-index-llms-openai llama-index-llms-openai-like llama-index-llms-anthropic"
    " llama-index-llms-google-genai llama-index-embeddings-openai anthropic<1",  # 0.12.3 breaks with 1.x by itself
    "openai_agents": "openai-agents",
    "pydantic_ai": "pydantic-ai-slim[openai,anthropic,google,mistral]",
    "autogen": "autogen-agentchat autogen-ext[openai,anthropic] anthropic<1",  # 0.7.5 breaks with 1.x by itself
    "crewai": "crewai",
    "google_adk": "google-adk",
}
PRICES = {"*": {"input_usd": "0.25", "output_usd": "2"}}


def environment(name: str) -> Path | str:
    """Its own Python, or why there is none. PyTorch stays out: nothing here needs two gigabytes of it."""
    folder = ROOT / ".interop" / name
    python = folder / "bin" / "python"
    if (folder / "ready").is_file():
        return python
    install = [str(python), "-m", "pip", "install", "-q", "-c", str(ROOT / "tests/interop/without.txt")]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*install, *INSTALLED[name].split()]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return (done.stderr or done.stdout).strip().splitlines()[-1]
    (folder / "ready").touch()
    return python


async def run(names: list[str], *, is_once: bool) -> int:
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
                code = await one(name, served.url, served.key)
                if code:
                    print("The double was last asked:", made.sim.requests[-1].body.decode(), file=sys.stderr)
                failed += code
                if is_once:
                    shutil.rmtree(ROOT / ".interop" / name, ignore_errors=True)
    return failed


async def one(name: str, url: str, key: str) -> int:
    python = await asyncio.to_thread(environment, name)
    if isinstance(python, str):
        print(f"SKIP {name}: it cannot be installed here: {python}")
        return 0
    script = Path(__file__).parent / f"with_{name}.py"
    process = await asyncio.create_subprocess_exec(str(python), str(script), url, key, env=plain_environment())
    code = await process.wait()
    print(f"{'ok' if code == 0 else 'FAILED'} {name}: {versions(python, name)}", flush=True)
    return int(code != 0)


def versions(python: Path, name: str) -> str:
    """What was installed, for the table in the docs."""
    names = [re.split(r"[\[<]", package)[0] for package in INSTALLED[name].split()]
    asked = (
        f"from importlib.metadata import version\nprint(*(f'{{one}} {{version(one)}}' for one in {names!r}), sep=', ')"
    )
    return subprocess.run([str(python), "-c", asked], capture_output=True, text=True, check=False).stdout.strip()


def plain_environment() -> dict[str, str]:
    """Nothing of ours, no vendor's key, and no telemetry of theirs."""
    quiet = {"CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true", "OPENAI_AGENTS_DISABLE_TRACING": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**{name: value for name, value in kept.items() if not name.endswith("_API_KEY")}, **quiet}


if __name__ == "__main__":
    given = [name for name in sys.argv[1:] if name != "--once"]
    sys.exit(asyncio.run(run(given or list(INSTALLED), is_once="--once" in sys.argv)))
