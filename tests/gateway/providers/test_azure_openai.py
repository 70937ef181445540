"""OpenAI's models on Azure: two forms of address, a key or Entra's tokens, over real sockets."""

import asyncio
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from tests.gateway.clouds import asking
from tests.gateway.house import say
from tests.gateway.servers import CHAT

from mooring.core.errors import ConfigError
from mooring.gateway.config import ProviderConfig
from mooring.gateway.discovery import keyed_vendors
from mooring.gateway.provider import registry

V1 = "/openai/v1/chat/completions"
DEPLOYMENT = "/openai/deployments/my%20gpt/chat/completions"
# Azure begins with an event that has no choices: what its filter found in the prompt.
STREAM = (
    b'data: {"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":"Hello."},"content_filter_results":{},"finish_reason":null}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[],"usage":'
    b'{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
    b"data: [DONE]\n\n"
)


def test_with_an_api_version_a_deployment_has_its_own_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k" * 9)

    async def scenario() -> None:
        def account(url: str) -> ProviderConfig:
            return ProviderConfig(type="azure_openai", base_url=url, api_version="2024-10-21")

        async with asking(tmp_path, {DEPLOYMENT: CHAT}, account) as (home, azure):
            assert (await home.ask(say("hi", model="x/my gpt"))).text == "Hello."
            (asked,) = azure.asked
            assert asked.target == f"{DEPLOYMENT}?api-version=2024-10-21"
            assert asked.headers["api-key"] == "k" * 9
            assert asked.headers["x-ms-client-request-id"].startswith("att_")
            assert "authorization" not in asked.headers

    asyncio.run(scenario())


def test_without_one_the_newer_address_takes_the_model_from_the_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k" * 9)

    async def scenario() -> None:
        def account(url: str) -> ProviderConfig:
            return ProviderConfig(type="azure_openai", base_url=f"{url}/openai/v1/")

        async with asking(tmp_path, {V1: STREAM}, account) as (home, azure):
            answer = await home.ask(say("hi", model="x/gpt", stream=True))
            assert answer.stream_text == "Hello."
            assert answer.data[-1] == "[DONE]"
            assert azure.of(V1)[0].json["model"] == "gpt"

    asyncio.run(scenario())


def test_a_workloads_own_token_is_exchanged_once_for_many_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounted").write_text("mounted-by-kubernetes\n")
    for name, value in {"TENANT_ID": "t", "CLIENT_ID": "c", "FEDERATED_TOKEN_FILE": str(tmp_path / "mounted")}.items():
        monkeypatch.setenv(f"AZURE_{name}", value)

    async def scenario() -> None:
        def account(url: str) -> ProviderConfig:
            monkeypatch.setenv("AZURE_AUTHORITY_HOST", url)
            return ProviderConfig(type="azure_openai", base_url=url, token="workload_identity")

        pages = {V1: CHAT, "/t/oauth2/v2.0/token": {"access_token": "from-entra", "expires_in": 3600}}
        async with asking(tmp_path, pages, account) as (home, azure):
            answers = await asyncio.gather(*(home.ask(say("hi", model="x/gpt")) for _ in range(5)))
            assert [answer.text for answer in answers] == ["Hello."] * 5
            (exchange,) = azure.of("/t/oauth2/v2.0/token")
            form = parse_qs(exchange.body.decode())
            assert form["client_assertion"] == ["mounted-by-kubernetes"]
            assert form["scope"] == ["https://cognitiveservices.azure.com/.default"]
            assert {one.headers["authorization"] for one in azure.of(V1)} == {"Bearer from-entra"}
            assert not any("api-key" in one.headers for one in azure.of(V1))

    asyncio.run(scenario())


def test_the_machines_identity_comes_from_the_metadata_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)

    async def scenario() -> None:
        def account(url: str) -> ProviderConfig:
            monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
            return ProviderConfig(type="azure_openai", base_url=url, token="metadata")

        path = "/metadata/identity/oauth2/token"
        async with asking(tmp_path, {V1: CHAT, path: {"access_token": "m", "expires_in": "86399"}}, account) as (
            home,
            azure,
        ):
            assert (await home.ask(say("hi", model="x/gpt"))).text == "Hello."
            (asked,) = azure.of(path)
            assert asked.headers["metadata"] == "true"
            assert "resource=https%3A%2F%2Fcognitiveservices.azure.com" in asked.target
            assert azure.of(V1)[0].headers["authorization"] == "Bearer m"

    asyncio.run(scenario())


def test_without_a_token_nothing_is_sent_and_nothing_is_billed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)

    async def scenario() -> None:
        def account(url: str) -> ProviderConfig:
            monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
            return ProviderConfig(type="azure_openai", base_url=url, token="metadata")

        async with asking(tmp_path, {V1: CHAT}, account) as (home, azure):
            answer = await home.ask(say("hi", model="x/gpt"))
            assert answer.status == 502
            assert "No token from Azure's metadata endpoint, which answered 404" in answer.body.decode()
            assert not azure.of(V1)
            assert await home.bill() == (0, 0)

    asyncio.run(scenario())


def test_a_key_alone_does_not_say_where_it_is_good() -> None:
    environment = {"AZURE_OPENAI_API_KEY": "k"}
    assert not keyed_vendors(environment)
    with pytest.raises(ConfigError, match="Provider 'az' has no base_url"):
        registry.get("azure_openai")("az", ProviderConfig(type="azure_openai"))
