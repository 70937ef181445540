"""`mooring.toml` and its environment: everything that is wrong is told at once, and no secret is ever kept."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.net import certificate

from mooring import config
from mooring.config import Config
from mooring.core.errors import ConfigError
from mooring.gateway.config import WITHOUT_SECTION
from mooring.gateway.provider import registry as providers


def parse(text: str = "", **environment: str) -> Config:
    path = Path("mooring.toml")
    path.write_text(text)
    return config.load(environment=environment)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def mistakes(text: str = "", **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, **environment)
    return str(caught.value).splitlines()


def test_without_a_file_everything_has_a_default() -> None:
    found = config.load(environment={})
    assert (found.server.host, found.server.port, found.storage.durability) == ("127.0.0.1", None, "kill")
    assert found.database_url() is None


def test_every_mistake_is_told_at_once_with_what_was_meant() -> None:
    told = mistakes(
        """
        [server]
        prot = 1
        drain_seconds = -1
        [storage]
        durability = "always"
        [gateway.providers.x]
        base_ulr = "http://127.0.0.1"
        [workr]
        """
    )
    assert told[0] == "mooring.toml has 5 mistake(s):"
    assert "  server.prot: unknown key. Did you mean 'port'?" in told
    assert "  gateway.providers.x.base_ulr: unknown key. Did you mean 'base_url'?" in told
    assert "  workr: unknown key. Did you mean 'worker'?" in told
    assert any(line.startswith("  server.drain_seconds: ") for line in told)
    assert any(line.startswith("  storage.durability: ") for line in told)


def test_a_model_whose_provider_is_unknown_suggests_the_right_one() -> None:
    told = mistakes('[gateway.providers.acme]\n[gateway.models.fast]\ntargets = ["acne/x"]\n')
    assert "unknown provider 'acne'. Did you mean 'acme'?" in told[1]


def test_a_secret_is_a_reference_and_a_literal_one_is_refused_without_being_repeated() -> None:
    secret = "sk-" + "a" * 40
    told = mistakes(f'[gateway.providers.openai]\ntype = "openai"\napi_key = "{secret}"\n')
    assert "gateway.providers.openai.api_key" in told[1]
    assert "env:NAME" in told[1]
    assert secret not in "\n".join(told)
    told = mistakes(MOORING_GATEWAY__PROVIDERS__OPENAI__API_KEY=secret)
    assert secret not in "\n".join(told)


def test_a_database_url_with_a_password_is_a_secret() -> None:
    word = "p" * 12
    told = mistakes(f'[storage]\nurl = "postgresql://u:{word}@db/mooring"\n')
    assert "storage.url" in told[1]
    assert word not in "\n".join(told)
    assert parse('[storage]\nurl = "postgresql://db/mooring"\n').database_url() == "postgresql://db/mooring"


def test_a_database_url_is_read_behind_its_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://u:" + "p" * 12 + "@db/mooring"
    monkeypatch.setenv("MOORING_TEST_DATABASE", url)
    found = parse('[storage]\nurl = "env:MOORING_TEST_DATABASE"\n')
    assert found.database_url() == url
    assert url.encode() not in found.canonical()
    (tmp_path / "url").write_text(url + "\n")
    assert parse(f'[storage]\nurl = "file:{tmp_path}/url"\n').database_url() == url
    monkeypatch.delenv("MOORING_TEST_DATABASE")
    with pytest.raises(ConfigError, match="MOORING_TEST_DATABASE is not set"):
        found.database_url()


def test_the_environment_wins_over_the_file() -> None:
    found = parse(
        "[server]\nport = 1\nhost = '127.0.0.2'\n",
        MOORING_SERVER__PORT="2",
        MOORING_SERVER__ALLOWED_HOSTS='["a.example"]',
        MOORING_STORAGE__DURABILITY="power",
        MOORING_GATEWAY__PROVIDERS__ACME__BASE_URL="http://127.0.0.1:1/v1",
    )
    assert (found.server.port, found.server.host, found.server.allowed_hosts) == (2, "127.0.0.2", ("a.example",))
    assert found.storage.durability == "power"
    assert found.gateway.providers["acme"].base_url == "http://127.0.0.1:1/v1"


def test_a_mistake_in_the_environment_is_told_like_one_in_the_file() -> None:
    told = mistakes(MOORING_SERVER__PROT="1")
    assert told[1] == "  server.prot: unknown key. Did you mean 'port'? (from MOORING_SERVER__PROT)"
    assert "server.port" in mistakes(MOORING_SERVER__PORT="many")[1]


def test_variables_that_contradict_the_file_or_each_other_are_refused() -> None:
    assert "MOORING_SERVER__PORT" in mistakes("server = 1", MOORING_SERVER__PORT="1")[0]
    assert "MOORING_SERVER__PORT__X" in mistakes(MOORING_SERVER__PORT="1", MOORING_SERVER__PORT__X="1")[0]


def test_other_variables_mean_nothing() -> None:
    assert parse(MOORING_HOME="/x", MOORING_URL="http://x", MOORING_CONFIGS="1", OTHER__THING="1") == Config()


def test_a_file_that_is_no_toml_or_is_not_there_says_so(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[server\n")
    with pytest.raises(ConfigError, match=r"bad\.toml is not valid TOML"):
        config.load(tmp_path / "bad.toml", {})
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"bytes\.toml is not valid TOML"):
        config.load(tmp_path / "bytes.toml", {})
    with pytest.raises(ConfigError, match=r"No such file or directory.*MOORING_CONFIG=FILE"):
        config.load(environment={"MOORING_CONFIG": str(tmp_path / "none.toml")})


def test_the_canonical_form_is_the_same_whatever_the_order() -> None:
    first = parse("[server]\nport = 1\n[worker]\ncount = 1\n")
    second = parse("[worker]\ncount = 1\n[server]\nport = 1\n")
    assert first.canonical() == second.canonical() != Config().canonical()


def descriptions(schema: dict[str, Any]) -> list[str]:
    return [
        f"{name}.{field}"
        for name, part in schema["$defs"].items()
        for field, facts in part.get("properties", {}).items()
        if "description" not in facts
    ]


def test_every_setting_explains_itself() -> None:
    schema = json.loads(json.dumps(Config.model_json_schema()))
    assert descriptions(schema) == []


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "MOORING_SERVER__PORT", "3")
    assert config.load().server.port == 3


def test_a_key_of_a_vendor_in_the_environment_is_as_good_as_a_section() -> None:
    found = config.explain(environment={"MISTRAL_API_KEY": "k", "GOOGLE_API_KEY": "k", "GROQ_API_KEY": " "})
    accounts = found.config.gateway.providers
    assert {name: account.api_key for name, account in accounts.items()} == {
        "gemini": "env:GOOGLE_API_KEY",
        "mistral": "env:MISTRAL_API_KEY",
    }
    assert found.sources["gateway", "providers", "mistral", "type"] == "discovered: MISTRAL_API_KEY is set"


def test_a_section_of_the_file_wins_over_what_the_environment_enables() -> None:
    text = '[gateway.providers.openai]\ntype = "openai"\napi_key = "env:OTHER"\n'
    assert parse(text, OPENAI_API_KEY="k").gateway.providers["openai"].api_key == "env:OTHER"
    assert not parse("[gateway]\ndiscover = false\n", OPENAI_API_KEY="k").gateway.providers


def test_a_key_of_our_own_is_never_taken_for_a_vendors() -> None:
    # `eval "$(mooring keys env)"` put it there for an SDK; the vendor must not get to see it.
    assert not parse(OPENAI_API_KEY="mr_" + "a" * 84, ANTHROPIC_API_KEY="mrs_" + "a" * 64).gateway.providers


def test_each_setting_knows_who_said_it() -> None:
    Path("mooring.toml").write_text('[server]\nport = 1\nallowed_hosts = ["a"]\n[worker]\ncount = 1\n')
    found = config.explain(environment={"MOORING_WORKER__COUNT": "3"})
    assert found.config.worker.count == 3
    assert found.sources == {
        ("server", "port"): "mooring.toml",
        ("server", "allowed_hosts"): "mooring.toml",
        ("worker", "count"): "MOORING_WORKER__COUNT",
    }


def test_an_unknown_plug_in_is_told_together_with_the_other_mistakes() -> None:
    told = mistakes(
        '[server]\nprot = 1\n[gateway.providers.g]\ntype = "grok"\n[[guardrails.checks]]\ntype = "secrets"\n'
    )
    assert told[0] == "mooring.toml has 3 mistake(s):"
    assert "  gateway.providers.g.type: Unknown provider 'grok'. Did you mean 'groq'?" in told
    assert any(line.startswith("  guardrails.checks[0].type: Unknown check 'secrets'.") for line in told)


def test_what_needs_no_section_is_what_the_provider_files_say() -> None:
    alone = [name for name in providers.names() if (kind := providers.get(name)).base_url and kind.api_key_env]
    local = [name for name in providers.names() if (kind := providers.get(name)).owned_by or kind.greeting]
    assert sorted([*alone, *local, "local"]) == sorted(WITHOUT_SECTION)


def test_a_mistake_in_a_checks_own_section_is_told_with_its_place_and_what_was_meant() -> None:
    told = mistakes(
        '[[guardrails.checks]]\ntype = "pii_mask"\nemial = "mask"\nphone = "drop"\n'
        '[[guardrails.checks.allow]]\ntool = "send_mail"\nargument = ["to"]\n[[guardrails.checks]]\n'
    )
    assert "  guardrails.checks[0].emial: unknown key. Did you mean 'email'?" in told
    assert "  guardrails.checks[0].phone: Input should be 'mask', 'block' or 'off'." in told
    assert "  guardrails.checks[0].allow[0].arguments: Field required." in told
    assert "  guardrails.checks[0].allow[0].argument: unknown key. Did you mean 'arguments'?" in told
    assert any(line.startswith("  guardrails.checks[1]: it has no 'type'.") for line in told)


def test_certificates_proxies_and_two_of_them_at_one_address_are_mistakes_that_check_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate.make(tmp_path)
    (tmp_path / "b").mkdir()
    certificate.make(tmp_path / "b")
    section = '[gateway.providers.{0}]\ntype = "openai"\napi_key = "file:/dev/null"\nclient_certificate = "{1}"\n'
    one, other = section.format("one", tmp_path / "server.pem"), section.format("two", tmp_path / "b" / "server.pem")
    same = section.format("two", tmp_path / "server.pem")
    assert config.mistakes(parse(one + same)) == []
    (told,) = config.mistakes(parse(one + other))
    assert told.startswith("gateway.providers.two: it shares https://api.openai.com:443 with 'one'")
    (told,) = config.mistakes(parse(section.format("one", tmp_path / "none.pem")))
    assert "none.pem cannot be used: No such file or directory" in told
    own = section.format("own", tmp_path / "server.pem").replace("openai", "openai_compatible")
    assert any("needs base_url" in told for told in config.mistakes(parse(own)))
    monkeypatch.setenv("HTTPS_PROXY", "socks5://p:1")
    assert config.mistakes(parse()) == [
        "gateway: HTTPS_PROXY names a proxy of kind 'socks5', which is not known. "
        "Write HTTPS_PROXY=http://host:port, or http://user:password@host:port."
    ]
