"""[gateway]: mistakes are named, secrets are references."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from mooring.core.errors import ConfigError, NotFound
from mooring.gateway.config import GatewayConfig, ProviderConfig, read_secret
from mooring.gateway.routing import Router

LOOPBACK = {"type": "openai_compatible", "base_url": "http://127.0.0.1:1/v1"}


def test_a_literal_secret_is_refused_without_being_repeated() -> None:
    secret = "sk-" + "z" * 30
    with pytest.raises(ValidationError) as caught:
        GatewayConfig.model_validate({"providers": {"p": {**LOOPBACK, "api_key": secret}}})
    assert "reference" in str(caught.value.errors(include_input=False))


def test_a_secret_comes_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "one")
    (tmp_path / "key").write_text("two\n")
    assert read_secret("env:SOME_KEY") == "one"
    assert read_secret(f"file:{tmp_path / 'key'}") == "two"
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(ConfigError, match="SOME_KEY"):
        read_secret("env:SOME_KEY")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secret(f"file:{tmp_path / 'none'}")


def test_a_target_of_an_unknown_provider_suggests_the_right_one() -> None:
    with pytest.raises(ValidationError, match="Did you mean 'groq'"):
        GatewayConfig.model_validate({"providers": {"groq": LOOPBACK}, "models": {"fast": {"targets": ["grok/x"]}}})
    with pytest.raises(ValidationError, match="provider/model"):
        GatewayConfig.model_validate({"providers": {"groq": LOOPBACK}, "models": {"fast": {"targets": ["x"]}}})


def test_a_providers_list_of_models_is_what_it_serves() -> None:
    router = Router(GatewayConfig.model_validate({"providers": {"p": {**LOOPBACK, "models": ["one"]}}}))
    assert router.names() == ["p/one"]
    assert str(router.plan("p/one").targets[0]) == "p/one"
    with pytest.raises(NotFound, match="Did you mean 'p/one'"):
        router.plan("p/two")


def test_an_upstream_name_may_hold_slashes() -> None:
    router = Router(GatewayConfig.model_validate({"providers": {"p": LOOPBACK}}))
    assert router.plan("p/meta-llama/Llama-3").targets[0].model == "meta-llama/Llama-3"


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("openai/gpt-5-mini", "Set OPENAI_API_KEY where the server starts, for the models of openai."),
        ("ollama/llama3.2", "No ollama answers on this machine; it is looked for every half minute"),
    ],
)
def test_what_a_provider_without_a_section_lacks_is_named(model: str, hint: str) -> None:
    with pytest.raises(NotFound) as caught:
        Router(GatewayConfig()).plan(model)
    assert str(caught.value).startswith(f"Unknown model '{model}'. {hint}")


def test_what_is_offered_comes_and_goes_and_a_configured_provider_stays() -> None:
    offered = ProviderConfig(type="ollama", base_url="http://127.0.0.1:2/v1", models=("llama3.2:3b",))
    router = Router(GatewayConfig.model_validate({"providers": {"vllm": {**LOOPBACK, "models": ["m"]}}}))
    router.offer({"ollama": offered, "vllm": offered})
    assert router.names() == ["ollama/llama3.2:3b", "vllm/m"]
    assert router.plan("ollama/llama3.2:3b").targets[0].vendor.config == offered
    assert router.plan("vllm/m").targets[0].vendor.config.base_url == LOOPBACK["base_url"]
    router.offer({})
    assert router.names() == ["vllm/m"]
    with pytest.raises(NotFound):
        router.plan("ollama/llama3.2:3b")
