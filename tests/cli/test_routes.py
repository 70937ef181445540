"""`mooring config routes explain`: where a request would go, and why."""

import json
from pathlib import Path

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
