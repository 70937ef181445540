"""`mooring config routes explain`: where a request would go, and why."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.server.conftest import site

from mooring.processes.serve import announce

from .conftest import Cli

CONFIG = """
[gateway.providers.p]
type = "openai_compatible"
base_url = "http://127.0.0.1:9/v1"

[gateway.providers.p.facts.small]
tools = false

[gateway.models.m]
targets = ["p/small", "p/large"]
"""
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [TOOL]}


def test_explain_names_the_order_and_the_reasons(cli: Cli, folder: Path) -> None:
    (folder / "mooring.toml").write_text(CONFIG)
    (folder / "request.json").write_text(json.dumps(BODY))
    shown = cli("config", "routes", "explain", "request.json")
    assert (shown.code, shown.out.splitlines()[:3]) == (
        0,
        [
            "Model 'm', ordered: 1 of 2 targets can answer.",
            "1. p/large  number 2 in the configuration",
            "-  p/small  cannot call tools",
        ],
    )
    facts = cli("config", "routes", "explain", "request.json", "--json").json
    assert [one["can_answer"] for one in facts["targets"]] == [True, False]


def test_a_request_that_is_none_and_an_unknown_model_are_told_apart(cli: Cli, folder: Path) -> None:
    (folder / "mooring.toml").write_text(CONFIG)
    (folder / "request.json").write_text("{")
    assert "not valid JSON" in cli("config", "routes", "explain", "request.json").err
    (folder / "request.json").write_text(json.dumps(BODY | {"model": "n"}))
    told = cli("config", "routes", "explain", "request.json").err
    assert "Unknown model 'n'." in told
    assert "This looked in mooring.toml;" in told


EXAMPLES = {
    "p/small": ("repeat the parcel number", "repeat the order number"),
    "p/large": ("write a long story", "write a story about ships"),
}


def test_a_route_is_trained_by_the_server_that_runs_and_explained_with_what_it_learnt(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORING_HOME", str(folder / "home"))
    (folder / "mooring.toml").write_text(CONFIG)
    lines = [json.dumps({"text": text, "target": name}) for name, texts in EXAMPLES.items() for text in texts]
    (folder / "examples.jsonl").write_text("\n".join(lines))
    body = {"model": "m", "messages": [{"role": "user", "content": "repeat the parcel number"}]}
    (folder / "request.json").write_text(json.dumps(body))
    train = ("config", "routes", "train", "m", "examples.jsonl", "--model", "sim/embed")
    assert "No server runs here to make vectors." in cli(*train).err

    async def scenario() -> None:
        async with site(folder) as served:
            found = announce(served.rooms.home, served.rooms, served.url)
            made = await asyncio.to_thread(cli, *train)
            assert (made.code, made.out.splitlines()[0][:10]) == (0, "held out  ")
            learnt = "\n".join(made.out.splitlines()[-2:])
            (folder / "mooring.toml").write_text(CONFIG + learnt + "\n")
            shown = await asyncio.to_thread(cli, "config", "routes", "explain", "request.json")
            assert shown.out.splitlines()[1].startswith("1. p/small  most like its examples: likeness 0.")
            assert "There is no [gateway.models.n]" in (await asyncio.to_thread(cli, *train[:3], "n", train[4])).err
            refused = await asyncio.to_thread(cli, *train[:-1], "nobody/embeds")
            assert "Unknown model" in refused.err
            found.unlink()

    asyncio.run(scenario())
    (folder / "m.task.json").write_text("{}")
    assert "another one than its digest says" in cli("config", "check").err
