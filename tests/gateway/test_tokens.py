"""Short-lived tokens: kept until shortly before they expire, renewed by one, and never shown."""

import asyncio
import sys
from pathlib import Path

import pytest

from mooring.core.clock import ManualClock
from mooring.core.errors import UpstreamError
from mooring.gateway.tokens import Token, Tokens, tokens_of
from mooring.net import EgressPolicy, HttpClient


class Authority:
    """Hands out tokens of an hour, numbered, while it is well."""

    def __init__(self) -> None:
        self.given = 0
        self.is_well = True

    async def fetch(self, http: HttpClient) -> Token:
        await asyncio.sleep(0)
        if not self.is_well:
            raise UpstreamError("No token from nobody.")
        self.given += 1
        return Token(f"t{self.given}", 3600)


def test_a_token_is_kept_until_shortly_before_it_expires_and_renewed_once_for_all() -> None:
    async def scenario() -> None:
        authority, clock = Authority(), ManualClock()
        async with HttpClient(egress=EgressPolicy()) as http:
            tokens = Tokens(authority.fetch)
            assert set(await asyncio.gather(*(tokens.get(http, clock) for _ in range(9)))) == {"t1"}
            clock.advance(3299)
            assert await tokens.get(http, clock) == "t1"
            clock.advance(2)
            assert set(await asyncio.gather(*(tokens.get(http, clock) for _ in range(9)))) == {"t2"}

    asyncio.run(scenario())


def test_a_token_that_the_vendor_refuses_is_not_used_again_and_a_late_refusal_does_not_cost_the_next() -> None:
    async def scenario() -> None:
        authority, clock = Authority(), ManualClock()
        async with HttpClient(egress=EgressPolicy()) as http:
            tokens = Tokens(authority.fetch)
            await tokens.get(http, clock)
            clock.advance(600)
            tokens.refused(clock)
            assert await tokens.get(http, clock) == "t2"
            tokens.refused(clock)
            assert await tokens.get(http, clock) == "t2"
            authority.is_well = False
            clock.advance(600)
            tokens.refused(clock)
            with pytest.raises(UpstreamError):
                await tokens.get(http, clock)

    asyncio.run(scenario())


def test_while_it_cannot_be_renewed_the_old_one_is_used_to_its_end() -> None:
    async def scenario() -> None:
        authority, clock = Authority(), ManualClock()
        async with HttpClient(egress=EgressPolicy()) as http:
            tokens = Tokens(authority.fetch)
            await tokens.get(http, clock)
            authority.is_well = False
            clock.advance(3400)
            assert await tokens.get(http, clock) == "t1"
            clock.advance(201)
            with pytest.raises(UpstreamError):
                await tokens.get(http, clock)
            authority.is_well = True
            assert await tokens.get(http, clock) == "t2"

    asyncio.run(scenario())


def test_a_file_is_read_again_and_a_command_asked_again_after_a_while(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        (tmp_path / "token").write_text("one\n")
        async with HttpClient(egress=EgressPolicy()) as http:
            for reference in (f"file:{tmp_path}/token", f"command:cat {tmp_path}/token"):
                (tmp_path / "token").write_text("one\n")
                tokens = tokens_of("p", reference, {})
                assert await tokens.get(http, clock) == "one"
                (tmp_path / "token").write_text("two\n")
                clock.advance(31)
                assert await tokens.get(http, clock) == "two"

    asyncio.run(scenario())


def test_a_command_that_fails_is_told_by_its_complaint_and_not_by_what_it_printed() -> None:
    async def scenario() -> None:
        line = f"command:{sys.executable} -c \"import sys; print('hidden'); sys.exit('log in first')\""
        async with HttpClient(egress=EgressPolicy()) as http:
            with pytest.raises(UpstreamError, match="ended with 1: log in first") as caught:
                await tokens_of("p", line, {}).get(http, ManualClock())
            assert "hidden" not in str(caught.value)
            with pytest.raises(UpstreamError, match="No token: The token's command /no/such cannot be run"):
                await tokens_of("p", "command:/no/such", {}).get(http, ManualClock())

    asyncio.run(scenario())
