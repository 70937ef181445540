"""`config check`, `show` and `schema`: everything at once, nothing secret, and who said what."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from mooring import config
from mooring.gateway.provider import registry as providers

from .conftest import Cli

FILE = """
[server]
port = 4791
allowed_hosts = ["a.example", "b\\"c"]
[gateway.providers."odd name"]
base_url = "http://127.0.0.1:1/v1"
prices = { "*" = { input_usd = "1" } }
[gateway.models.fast]
targets = ["odd name/m"]
[[guardrails.checks]]
type = "secrets_mask"
stages = ["input"]
"""


@pytest.fixture
def file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in providers.names():
        kind = providers.get(name)
        for variable in (kind.api_key_env, *kind.other_key_envs):
            monkeypatch.delenv(variable or "", raising=False)
    path = folder / "mooring.toml"
    path.write_text(FILE)
    return path


def test_show_says_where_each_value_comes_from(cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "g" * 40
    monkeypatch.setenv("GROQ_API_KEY", secret)
    monkeypatch.setenv("MOORING_WORKER__COUNT", "5")
    out = cli("config", "show").out
    said = {" ".join(line.split()) for line in out.splitlines()}
    assert "port = 4791 # mooring.toml" in said
    assert "count = 5 # MOORING_WORKER__COUNT" in said
    assert 'api_key = "env:GROQ_API_KEY" # discovered: GROQ_API_KEY is set' in said
    assert 'host = "127.0.0.1"' in said
    assert "# weights is not set" in said
    assert secret not in out
    sources = cli("config", "show", "--json").json["sources"]
    assert sources["server.port"] == "mooring.toml"
    assert sources["worker.count"] == "MOORING_WORKER__COUNT"
    assert sources["gateway.providers.groq.type"] == "discovered: GROQ_API_KEY is set"
    assert "server.host" not in sources


def test_what_show_prints_is_a_file_that_says_the_same(cli: Cli, file: Path) -> None:
    shown = tomllib.loads(cli("config", "show").out)
    assert config.parse(shown, {}, origin="show") == config.load(file)


def test_check_tells_what_would_fail_later_too(cli: Cli, file: Path) -> None:
    assert cli("config", "check").out == "The configuration is valid.\n"
    file.write_text(
        '[gateway.providers.a]\ntype = "openai"\n[gateway.providers.b]\n[storage]\nurl = "file:/nowhere/at/all"\n'
    )
    result = cli("config", "check")
    assert result.code == 2
    assert result.out == ""
    told = result.err.splitlines()
    assert told[0] == "mooring: mooring.toml has 3 mistake(s):"
    assert told[1].startswith("  gateway.providers.a: The environment variable OPENAI_API_KEY is not set.")
    assert told[2].startswith("  gateway.providers.b: Provider 'b' has no base_url.")
    assert told[3].startswith("  storage.url: The secret file /nowhere/at/all cannot be read")


def test_check_tells_every_mistake_of_shape_before_what_would_fail_later(cli: Cli, file: Path) -> None:
    file.write_text(
        '[server]\nprot = 1\n[storage]\nurl = "file:/nowhere"\n'
        '[[guardrails.checks]]\ntype = "secrets_mask"\nstagess = []\n'
    )
    told = cli("config", "check").err
    assert "has 2 mistake(s)" in told
    assert "Did you mean" in told
    assert "stagess" in told


def test_the_schema_refuses_what_the_server_refuses(cli: Cli, file: Path) -> None:
    found = cli("config", "schema").json
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["additionalProperties"] is False
    sections = found["$defs"]
    assert sections["ProviderConfig"]["properties"]["type"]["enum"] == providers.names()
    assert "secrets_mask" in sections["GuardrailsConfig"]["properties"]["checks"]["items"]["properties"]["type"]["enum"]
    for name, section in sections.items():
        assert section["additionalProperties"] is False, name
        for key, setting in section["properties"].items():
            assert setting.get("description") or "$ref" in setting, f"{name}.{key}"
    assert not list(_dangling(found, found))


def _dangling(node: Any, root: dict[str, Any]) -> Any:
    """References that lead nowhere."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.removeprefix("#/$defs/") not in root["$defs"]:
            yield reference
        for value in node.values():
            yield from _dangling(value, root)
    elif isinstance(node, list):
        for value in node:
            yield from _dangling(value, root)
