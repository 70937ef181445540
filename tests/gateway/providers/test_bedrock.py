"""Bedrock with credentials from every place where AWS's SDKs look, over real sockets."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.clouds import Cloud, asking
from tests.gateway.house import Answer, House, read, say

from mooring.core.clock import ManualClock
from mooring.core.errors import ConfigError
from mooring.gateway import aws
from mooring.gateway.codecs import Failure
from mooring.gateway.config import ProviderConfig
from mooring.gateway.prices import Prices
from mooring.gateway.provider import registry
from mooring.gateway.providers.bedrock import Provider
from mooring.gateway.tokens import NoToken, Tokens
from mooring.net import EgressPolicy, HttpClient, Request

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
PATH = "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse"
ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
    "metrics": {"latencyMs": 1},
}
ROLE = "/latest/meta-data/iam/security-credentials/"


def in_an_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def found(key: str) -> dict[str, str]:
    """Credentials as AWS's endpoints answer."""
    return {"Code": "Success", "AccessKeyId": key, "SecretAccessKey": "a secret", "Token": f"{key}'s session",
            "Expiration": in_an_hour()}  # fmt: skip


def sts(key: str) -> bytes:
    return (
        f"<R><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>a secret</SecretAccessKey><SessionToken>"
        f"{key}&apos;s session</SessionToken><Expiration>{in_an_hour()}</Expiration></Credentials></R>"
    ).encode()


@pytest.fixture(autouse=True)
def nobodys_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without what the machine that runs the tests may have."""
    for name in (
        *("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "DEFAULT_PROFILE", "REGION"),
        *("DEFAULT_REGION", "WEB_IDENTITY_TOKEN_FILE", "ROLE_ARN", "CONTAINER_CREDENTIALS_FULL_URI"),
        *("CONTAINER_CREDENTIALS_RELATIVE_URI", "BEARER_TOKEN_BEDROCK", "EC2_METADATA_DISABLED"),
    ):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def asked(
    path: Path, pages: dict[str, Any], settings: Callable[[str], dict[str, Any]], *, model: str = MODEL
) -> tuple[Answer, Cloud]:
    """One request to Bedrock, whose endpoints and whose credentials' all are this double."""

    async def scenario() -> tuple[Answer, Cloud]:
        def account(url: str) -> ProviderConfig:
            return ProviderConfig(type="bedrock", base_url=url, **{"region": "eu-west-1", **settings(url)})

        async with asking(path, {PATH: ANSWER, **pages}, account) as (home, cloud):
            home_: House = home
            return await home_.ask(say("hi", model=f"x/{model}")), cloud

    return asyncio.run(scenario())


def signer(cloud: Cloud) -> str:
    """Whose key has signed, and that its session's token went with it."""
    (request,) = cloud.of(PATH)
    key = request.headers["authorization"].partition("Credential=")[2].partition("/")[0]
    if "x-amz-security-token" in request.headers:
        assert request.headers["x-amz-security-token"] == f"{key}'s session"
    return key


def test_keys_of_the_environment_sign_for_the_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    answer, cloud = asked(tmp_path, {}, lambda _: {})
    assert answer.text == "Hello."
    assert signer(cloud) == "mine"
    assert "/eu-west-1/bedrock/aws4_request" in cloud.asked[0].headers["authorization"]


def test_a_pods_token_is_exchanged_for_a_roles_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("a pod's token\n")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/models")

    def settings(url: str) -> dict[str, Any]:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        return {"token": "workload_identity"}

    answer, cloud = asked(tmp_path, {"/": sts("pod")}, settings)
    assert (answer.text, signer(cloud)) == ("Hello.", "pod")
    form = cloud.of("/")[0].body.decode()
    assert "Action=AssumeRoleWithWebIdentity" in form
    assert "WebIdentityToken=a+pod%27s+token" in form


def test_a_container_is_given_credentials_for_its_own_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("a container's")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))

    def settings(url: str) -> dict[str, Any]:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/v1/credentials")
        return {}

    answer, cloud = asked(tmp_path, {"/v1/credentials": found("container")}, settings)
    assert (answer.text, signer(cloud)) == ("Hello.", "container")
    assert cloud.of("/v1/credentials")[0].headers["authorization"] == "a container's"


def test_a_machines_role_is_asked_for_within_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(url: str) -> dict[str, Any]:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        return {"token": "metadata"}

    pages = {"/latest/api/token": b"a session", ROLE: b"models\n", f"{ROLE}models": found("machine")}
    answer, cloud = asked(tmp_path, pages, settings)
    assert (answer.text, signer(cloud)) == ("Hello.", "machine")
    assert cloud.of("/latest/api/token")[0].headers["x-aws-ec2-metadata-token-ttl-seconds"] == "21600"
    assert cloud.of(f"{ROLE}models")[0].headers["x-aws-ec2-metadata-token"] == "a session"


def test_a_profile_names_keys_a_command_or_a_role_and_its_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "command"
    command.write_text('#!/bin/sh\necho \'{"Version": 1, "AccessKeyId": "command", "SecretAccessKey": "s"}\'\n')
    command.chmod(0o700)
    (tmp_path / "config").write_text(
        "[default]\nregion = us-east-1\ns3 =\n  addressing_style = path\n"
        f"[profile run]\ncredential_process = {command}\n"
        "[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = keys\nexternal_id = e\n"
        "[profile round]\nrole_arn = r\nsource_profile = trip\n[profile trip]\nrole_arn = r\nsource_profile = round\n"
        "[profile browser]\nsso_start_url = https://example.com\n"
        "[profile person]\nrole_arn = r\nsource_profile = keys\nmfa_serial = m\n"
    )
    (tmp_path / "credentials").write_text("[keys]\naws_access_key_id = keys\naws_secret_access_key = a secret\n")

    def settings(profile: str) -> Callable[[str], dict[str, Any]]:
        def of(url: str) -> dict[str, Any]:
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
            return {"profile": profile}

        return of

    for number, (profile, key) in enumerate([("keys", "keys"), ("run", "command"), ("role", "assumed")]):
        (tmp_path / str(number)).mkdir()
        answer, cloud = asked(tmp_path / str(number), {"/": sts("assumed")}, settings(profile))
        assert (answer.text, signer(cloud)) == ("Hello.", key)
    assert cloud.of("/")[0].headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=keys/")
    assert b"ExternalId=e" in cloud.of("/")[0].body
    for number, (profile, why) in enumerate(
        [
            ("round", "name each other"),
            ("browser", "credential_process = aws configure export-credentials --profile browser"),
            ("person", "wants a code that a person types"),
            ("nobody", "the profile 'nobody' has no credentials"),
        ]
    ):
        (tmp_path / f"e{number}").mkdir()
        answer, cloud = asked(tmp_path / f"e{number}", {}, settings(profile))
        assert answer.status == 502
        assert why in answer.json["error"]["message"]
        assert not cloud.of(PATH)
    bedrock = registry.get("bedrock")("b", ProviderConfig(type="bedrock"))
    assert bedrock.endpoint("m", is_stream=True) == (
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse-stream"
    )


def test_without_any_credentials_it_is_said_where_was_looked_and_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        def account(url: str) -> ProviderConfig:
            return ProviderConfig(type="bedrock", base_url=url, region="eu-west-1")

        async with asking(tmp_path, {}, account) as (home, cloud):
            answer = await home.ask(say("hi", model="x/m"))
            message = answer.json["error"]["message"]
            assert (
                "AWS_ACCESS_KEY_ID is not set; AWS_WEB_IDENTITY_TOKEN_FILE is not set; the profile 'default'" in message
            )
            assert "169.254.169.254/32 under allowed_networks" in message
            assert not cloud.asked
            assert await home.bill() == (0, 0)
            (target,) = home.gateway.targets()
            assert target["failures_in_a_row"] == 1
            assert target["attention"].endswith("under allowed_networks.")

    asyncio.run(scenario())


def test_credentials_are_renewed_before_they_expire_and_the_old_ones_used_while_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        clock, given = ManualClock(), 0

        async def source(place: aws.Place) -> aws.Given | str:
            nonlocal given
            given += 1
            if given == 3:
                raise NoToken("No token.")
            return aws.Kept(aws.Credentials(str(given), "s"), 3600.0)

        async with HttpClient(egress=EgressPolicy()) as http:
            tokens = Tokens(lambda http: aws.credentials(aws.Place(http, clock, "r"), (source,)))
            assert (await tokens.get(http, clock)).access_key_id == "1"
            clock.advance(3301)
            assert (await tokens.get(http, clock)).access_key_id == "2"
            clock.advance(3301)
            assert (await tokens.get(http, clock)).access_key_id == "2"
            clock.advance(31)
            assert (await tokens.get(http, clock)).access_key_id == "4"

    asyncio.run(scenario())


def test_a_bedrock_key_goes_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "a key")
    _, cloud = asked(tmp_path, {}, lambda _: {})
    assert cloud.of(PATH)[0].headers["authorization"] == "Bearer a key"


def test_a_model_may_be_an_arn_and_regions_have_their_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    def endpoint(region: str, model: str = "m") -> str:
        config = ProviderConfig(type="bedrock", region=region)
        return registry.get("bedrock")("b", config).endpoint(model, is_stream=False)

    assert endpoint("cn-north-1").startswith("https://bedrock-runtime.cn-north-1.amazonaws.com.cn/")
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    assert endpoint("us-east-1", arn).endswith(
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc/converse"
    )
    with pytest.raises(ConfigError, match=r'no region.*region = "us-east-1"'):
        registry.get("bedrock")("b", ProviderConfig(type="bedrock"))


def test_a_containers_address_without_encryption_must_be_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/steal")
        async with HttpClient(egress=EgressPolicy()) as http:
            with pytest.raises(ConfigError, match="without encryption"):
                await aws.container(aws.Place(http, ManualClock(), "r"))

    asyncio.run(scenario())


def test_vectors_are_refused_by_name_and_nothing_is_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        def account(url: str) -> ProviderConfig:
            return ProviderConfig(type="bedrock", base_url=url, region="eu-west-1")

        async with asking(tmp_path, {}, account) as (home, cloud):
            body = {"model": "x/m", "input": "a cat"}
            answer = await read(await home.gateway.embed(home.inbound(body)))
            assert answer.status == 400
            assert "x does not speak the wire openai_embeddings" in answer.json["error"]["message"]
            assert not cloud.asked

    asyncio.run(scenario())


def test_prices_are_those_of_the_profile_and_an_arn_has_none() -> None:
    vendor = registry.get("bedrock")("b", ProviderConfig(type="bedrock", region="eu-west-1"))
    prices, now_us = Prices(), ManualClock().now_us()
    sheets = [prices.find(vendor, f"{place}{MODEL.removeprefix('us')}", now_us) for place in ("eu", "global")]
    regional, everywhere = [sheet.base.input_picos for sheet in sheets if sheet is not None]
    assert regional > everywhere > 0  # a region's own profile costs a tenth more
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    assert prices.find(vendor, arn, now_us) is None


def test_credentials_that_ended_before_their_time_are_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        vendor, clock = Provider("x", ProviderConfig(type="bedrock", region="eu-west-1")), ManualClock()
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")

        async def key() -> str:
            sent = await vendor.authorized(Request("POST", "https://models.invalid/x", [], b""), http, clock)
            return dict(sent.headers)[b"authorization"].decode().partition("Credential=")[2].partition("/")[0]

        async with HttpClient(egress=EgressPolicy()) as http:
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "old")
            assert await key() == "old"
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "new")
            clock.advance(20)
            vendor.refused(403, Failure("not_authorised", "Not for you.", code="AccessDeniedException"), clock)
            assert await key() == "old"
            vendor.refused(403, Failure("not_authorised", "It has expired.", code="ExpiredTokenException"), clock)
            assert await key() == "new"

    asyncio.run(scenario())
