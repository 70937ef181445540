"""AWS Bedrock by its Converse wire: requests are signed with credentials from wherever AWS's own SDKs look for them.

With a Bedrock API key (`api_key`, or `AWS_BEARER_TOKEN_BEDROCK`) it is asked like any other vendor.
"""

import os
from typing import ClassVar

from mooring.core.clock import Clock
from mooring.core.errors import ConfigError
from mooring.net import HttpClient, Request
from mooring.net.sigv4 import Credentials, signed

from .. import aws
from ..aws_profile import name_of, settings_of
from ..aws_sts import host_of
from ..codecs import Failure, ReadsHeaders
from ..config import ProviderConfig
from ..provider import Vendor, key_env
from ..tokens import Tokens

# What AWS calls credentials that ended before their announced time, or that it does not know any more.
_STALE = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"})
_SOURCES = {"metadata": (aws.metadata,), "workload_identity": (aws.web_identity,)}


class Provider(Vendor):
    wire = "bedrock_converse"
    embedding_wire = None
    api_key_env = "AWS_BEARER_TOKEN_BEDROCK"
    cap_field = "maxTokens"
    price_provider = "aws"
    tool_overhead_tokens = 600  # naming any tool adds Claude's own system prompt
    media_tokens = 50_000  # it serves OpenAI's models too, whose images are the dearest
    regions: ClassVar = ("AWS_REGION", "AWS_DEFAULT_REGION")

    def __init__(self, name: str, config: ProviderConfig) -> None:
        self._region = self._region_of(name, config)
        base = config.base_url or os.environ.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
        is_signed = config.token in _SOURCES or not (config.token or config.api_key or key_env(type(self), os.environ))
        self._is_signed = is_signed
        self._credentials: Tokens[Credentials] | None = None
        plain = {"base_url": base or host_of("bedrock-runtime", self._region), "token": None}
        super().__init__(name, config.model_copy(update=plain if is_signed else plain | {"token": config.token}))
        self._sources = (aws.profile,) if config.profile else _SOURCES.get(config.token or "", aws.CHAIN)
        self.is_authorized_late = is_signed or self.tokens is not None

    def _region_of(self, name: str, config: ProviderConfig) -> str:
        named = [config.region, *(os.environ.get(variable) for variable in self.regions)]
        found = next(filter(None, named), None) or settings_of(name_of(config.profile)).get("region")
        if not found:
            raise ConfigError(
                f"Provider '{name}' has no region.", hint=f'Set [gateway.providers.{name}] region = "us-east-1".'
            )
        return found

    def authorization(self) -> list[tuple[bytes, bytes]]:
        return [] if self._is_signed else super().authorization()

    async def authorized(self, request: Request, http: HttpClient, clock: Clock) -> Request:
        if not self._is_signed:
            return await super().authorized(request, http, clock)
        if self._credentials is None:
            self._credentials = Tokens(
                lambda http: aws.credentials(aws.Place(http, clock, self._region, self.config.profile), self._sources)
            )
        found = await self._credentials.get(http, clock)
        return signed(request, found, region=self._region, service="bedrock", at_us=clock.now_us())

    def refused(self, status: int | None, failure: Failure, clock: Clock) -> None:
        if self._credentials is None:
            super().refused(status, failure, clock)
        elif failure.code in _STALE:
            self._credentials.refused(clock)

    def request_id(self, headers: ReadsHeaders) -> str | None:
        return headers.get("x-amzn-requestid") or headers.get("x-request-id")
