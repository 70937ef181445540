"""A provider's error may quote what it was sent: then it is a payload, and kept or not like one."""

import asyncio
from pathlib import Path

import pytest
from tests.gateway.house import default_config, house, say
from tests.gateway.servers import listening

from mooring.gateway.config import GatewayConfig
from mooring.journal.payloads import Policy

SAID = "the-prompt-of-somebody"


@pytest.mark.parametrize(
    ("payloads", "kept"),
    [
        ("full", f"sim/echo answered 200: Cannot parse {SAID}"),
        ("redacted", "sim/echo answered 200; its words are not kept."),
        ("off", "sim/echo answered 200; its words are not kept."),
    ],
)
def test_a_providers_words_are_kept_as_long_as_payloads_are(tmp_path: Path, payloads: Policy, kept: str) -> None:
    async def scene() -> None:
        async with listening({"/v1/chat/completions": {"error": {"message": f"Cannot parse {SAID}"}}}) as canned:

            def config(url: str) -> GatewayConfig:
                return default_config(f"http://{canned.address}")

            async with house(tmp_path, config=config, payloads=payloads) as home:
                answer = await home.ask(say(SAID))
                assert SAID in answer.json["error"]["message"]  # whoever asked is told
                (call,) = await home.journal.list_calls("default")
                attempts = await home.journal.attempts("default", call.id)
                assert {attempt.error_message for attempt in attempts} == {kept}
        if payloads == "off":
            found = [file for file in tmp_path.rglob("*") if file.is_file() and SAID.encode() in file.read_bytes()]
            assert found == []

    asyncio.run(scene())
