"""Gemini in a Google Cloud project, over real sockets."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.gateway.clouds import asking
from tests.gateway.house import say

from mooring.core.errors import ConfigError
from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry

TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"
MODEL = "/v1/projects/p/locations/europe-west4/publishers/google/models/gemini-2.5-flash"
PIECE = {
    "candidates": [
        {"index": 0, "content": {"role": "model", "parts": [{"text": "Hello."}]}, "finishReason": "STOP"},
    ],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
}


def test_a_gemini_is_asked_in_its_region_with_the_machines_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        def account(url: str) -> ProviderConfig:
            monkeypatch.setenv("GCE_METADATA_HOST", url.removeprefix("http://"))
            return ProviderConfig(
                type="vertex", base_url=url, cloud_project="p", region="europe-west4", token="metadata"
            )

        pages = {TOKEN: {"access_token": "g", "expires_in": 3599}, f"{MODEL}:generateContent": PIECE}
        async with asking(tmp_path, pages, account) as (home, google):
            assert (await home.ask(say("hi", model="x/gemini-2.5-flash"))).text == "Hello."
            assert google.of(TOKEN)[0].headers["metadata-flavor"] == "Google"
            (asked,) = google.of(f"{MODEL}:generateContent")
            assert asked.headers["authorization"] == "Bearer g"
            assert asked.json["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]

    asyncio.run(scenario())


def test_the_address_follows_the_region() -> None:
    def base(region: str | None) -> str:
        config = ProviderConfig(type="vertex", cloud_project="p", region=region, token="env:T")
        return registry.get("vertex")("v", config).endpoint("m", is_stream=True).partition("/v1/")[0]

    assert base(None) == "https://aiplatform.googleapis.com"
    assert base("eu") == "https://aiplatform.eu.rep.googleapis.com"
    assert base("us-central1") == "https://us-central1-aiplatform.googleapis.com"


def test_what_is_missing_is_said_with_the_line_to_write() -> None:
    with pytest.raises(ConfigError, match=r"no token.*cloud_project = \"my-project\" and token = \"metadata\""):
        registry.get("vertex")("v", ProviderConfig(type="vertex", cloud_project="p"))
    with pytest.raises(ConfigError, match="gets no token from 'workload_identity'"):
        config = ProviderConfig(type="vertex", cloud_project="p", token="workload_identity")
        registry.get("vertex")("v", config)


def test_ids_of_calls_are_left_out_where_it_would_refuse_them() -> None:
    vendor = registry.get("vertex")("v", ProviderConfig(type="vertex", cloud_project="p", token="env:T"))
    call, result = {"id": "1", "name": "look", "args": {"id": 7}}, {"id": "1", "name": "look", "response": {}}
    contents = [
        {"role": "model", "parts": [{"functionCall": call}]},
        {"role": "user", "parts": [{"functionResponse": result}, {"text": "so?"}]},
    ]
    fields = {"contents": msgspec.Raw(msgspec.json.encode(contents))}
    vendor.patch(fields)
    assert fields["contents"] == [
        {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"id": 7}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {}}}, {"text": "so?"}]},
    ]
