"""The first ten minutes: `mooring up` without a file, and its lines pasted into a terminal."""

import asyncio
import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from tests.gateway.servers import CHAT, VLLM, listening

from .conftest import Open, Process

MOORING = f"{shlex.quote(sys.executable)} -m mooring"
DISCOVERING = {"MOORING_GATEWAY__DISCOVER": "true", "MOORING_GATEWAY__DISCOVER_AT": "[]"}


async def told(up: Process) -> dict[str, str]:
    """What `up` says after its first line, and its two lines to paste."""
    lines = []
    while not (line := await up.printed("")).startswith("With any SDK"):
        lines.append(line)
    begins = {"curl": "curl -", "python": "MOORING_HOME="}
    found = {kind: line.strip() for line in lines for kind, start in begins.items() if line.strip().startswith(start)}
    return {**found, "all": "".join(lines)}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_line_for_curl_works_as_printed_from_any_folder(yard: Open, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with yard() as y:
            (y.folder / "mooring.toml").unlink()
            up, _ = await y.up()
            line = (await told(up))["curl"]
            code, out, err = await y.shell(line, Path("/"), MOORING_HOME="")
            assert (code, err) == (0, "")
            assert "The harbour opens at six." in json.loads(out)["choices"][0]["message"]["content"]
            key = (y.home.path / "client.key").read_text()
            assert key.startswith("mr_")
            assert key not in line

    asyncio.run(scenario())


def test_the_line_for_python_works_as_printed_with_a_model_that_was_found(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y, listening({**VLLM, "/v1/chat/completions": CHAT}) as server:
            (y.folder / "mooring.toml").unlink()
            addresses = json.dumps([server.address])
            up, url = await y.up(MOORING_GATEWAY__DISCOVER="true", MOORING_GATEWAY__DISCOVER_AT=addresses)
            said = await told(up)
            assert f"vllm/Qwen/Qwen3-8B  (free, answers at {server.address})" in said["all"]
            code, out, err = await y.shell(said["python"], Path("/"))
            assert (code, out, err) == (0, "Hello.\n", "")
            key = (y.home.path / "client.key").read_text()
            response = await y.open("GET", f"{url}/v1/models", key)
            models = [model["id"] for model in json.loads(await response.read(100_000))["data"]]
            await response.aclose()
            assert "vllm/Qwen/Qwen3-8B" in models
            assert "settled $0.000000000" in (await y.shell(f"{MOORING} cost", y.folder))[1]

    asyncio.run(scenario())


def test_it_names_the_keys_that_it_saw_and_never_their_values(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            (y.folder / "mooring.toml").unlink()
            up, _ = await y.up(**DISCOVERING, GROQ_API_KEY="gsk_" + "a" * 30, OPENAI_API_KEY="mr_" + "b" * 30)
            said = (await told(up))["all"]
            assert "groq/…  (GROQ_API_KEY is set)" in said
            assert "OPENAI_API_KEY holds a key of Mooring's own: not used for openai." in said
            assert "groq/llama-3.3-70b-versatile" in said
            assert "a" * 30 not in said
            assert "b" * 30 not in said

    asyncio.run(scenario())


OPENAI = """
from openai import OpenAI
answer = OpenAI().chat.completions.create(model="sim/echo", messages=[{"role": "user", "content": "Hi"}])
print(answer.choices[0].message.content)
"""


def test_the_exports_point_openais_sdk_here(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            _, url = await y.up()
            line = f'eval "$({MOORING} keys env)"; echo $ANTHROPIC_BASE_URL; {sys.executable} -c {shlex.quote(OPENAI)}'
            code, out, err = await y.shell(line, y.folder)
            assert (code, out, err) == (0, f"{url}\nHi\n", "")

    asyncio.run(scenario())


def test_without_a_server_the_exports_name_the_address_of_the_next_one_and_say_so(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            code, out, err = await y.shell(f"{MOORING} keys env", y.folder, MOORING_SERVER__PORT="4791")
            assert code == 0
            assert "export MOORING_URL=http://127.0.0.1:4791\n" in out
            assert err.endswith("yet; `mooring up` will be at http://127.0.0.1:4791.\n")
            again = (await y.shell(f"{MOORING} keys env", y.folder, MOORING_SERVER__PORT="4791"))[1]
            assert again == out  # the same key, not a new one each time
            key_id = (await y.shell(f"{MOORING} keys list", y.folder))[1].split("key_")[1].split()[0]
            await y.shell(f"{MOORING} keys revoke key_{key_id}", y.folder)
            assert (await y.shell(f"{MOORING} keys env", y.folder, MOORING_SERVER__PORT="4791"))[1] != out

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("fish", "set -gx OPENAI_BASE_URL http://127.0.0.1:1/v1"),
        ("powershell", "$env:OPENAI_BASE_URL = 'http://127.0.0.1:1/v1'"),
    ],
)
def test_other_shells_get_their_own_words(yard: Open, shell: str, line: str) -> None:
    async def scenario() -> None:
        async with yard() as y:
            out = (await y.shell(f"{MOORING} keys env --shell {shell}", y.folder, MOORING_SERVER__PORT="1"))[1]
            assert out.splitlines()[0] == line
            assert len(out.splitlines()) == 9

    asyncio.run(scenario())
