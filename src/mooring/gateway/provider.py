"""What a vendor account provides: where it lives, how it is addressed, and what differs from its wire.

A provider file in `providers/` is a subclass named `Provider` that states only its differences, each with its reason.
"""

import os
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import urlsplit

from mooring.core import ids
from mooring.core.clock import Clock
from mooring.core.errors import ConfigError, InvalidRequest
from mooring.core.registry import Registry
from mooring.net import HttpClient, Request
from mooring.net.deadlines import Deadlines

from . import tracecontext
from .codecs import Codec, Failure, Fields, Kind, ReadsHeaders
from .codecs import registry as codecs
from .config import ProviderConfig, read_secret
from .tokens import Fetch, tokens_of

# What an OpenAI-compatible server may offer beside chat and embeddings; one that does not answers 404.
OPENAI_WIRES = (
    *("cohere_rerank", "openai_images", "openai_image_edits"),
    *("openai_moderations", "openai_speech", "openai_transcriptions"),
)
OWN_KEYS = ("mr_", "mrs_")  # what keys made by Mooring begin with


class NotOffered(InvalidRequest):
    """The provider has nothing of this kind. Nothing was sent."""

    code = "not_offered"


class Vendor:
    """The base of every provider; instances are accounts."""

    wire: ClassVar[str] = "openai_chat"
    embedding_wire: ClassVar[str | None] = "openai_embeddings"
    other_wires: ClassVar[tuple[str, ...]] = ()  # further ones that it takes as they come
    free_models: ClassVar[tuple[str, ...]] = ()  # how the names of those begin that cost nothing
    # The caller's headers that say what its body means, and what stands there for a body that was translated.
    passed_headers: ClassVar[Mapping[bytes, bytes | None]] = {}
    base_url: ClassVar[str | None] = None
    # What `token` may name beside env:, file: and command:, which every vendor takes.
    token_kinds: ClassVar[Mapping[str, Fetch]] = {}
    api_key_env: ClassVar[str | None] = None
    other_key_envs: ClassVar[tuple[str, ...]] = ()  # further names under which the vendor's own SDK looks for the key
    example: ClassVar[str | None] = None  # a small model of the vendor, for the first line that somebody tries
    # By which a server on this machine is told from others: its models' `owned_by`, or what it answers to `GET /`.
    owned_by: ClassVar[str | None] = None
    greeting: ClassVar[str | None] = None
    cap_field: ClassVar[str] = "max_completion_tokens"
    price_provider: ClassVar[str | None] = None
    is_free: ClassVar[bool] = False
    is_own: ClassVar[bool] = False  # a process of Mooring's, which serve starts where no base_url names another
    # What a chat template adds to the text: a bound, not an estimate. OpenAI documents 3 to 5 per message.
    message_overhead_tokens: ClassVar[int] = 16
    tool_overhead_tokens: ClassVar[int] = 64
    # An inline image may cost more tokens than it has bytes; None: its cost cannot be bounded.
    media_tokens: ClassVar[int | None] = None

    def __init__(self, name: str, config: ProviderConfig) -> None:
        self.name = name
        self.config = config
        self.codec: Codec = codecs.get(self.wire)()
        self._codecs: dict[Kind, Codec] = {"chat": self.codec}
        if self.embedding_wire is not None:
            self._codecs["embedding"] = codecs.get(self.embedding_wire)()
        self.deadlines = Deadlines(
            connect_seconds=config.connect_seconds,
            first_byte_seconds=config.first_byte_seconds,
            idle_seconds=config.idle_seconds,
            total_seconds=config.total_seconds,
        )
        self._base = (config.base_url or self.base_url or "").rstrip("/")
        if not self._base:
            raise ConfigError(
                f"Provider '{name}' has no base_url.",
                hint=f'Set [gateway.providers.{name}] base_url = "http://host/v1".',
            )
        # A trace id lets a stranger join what its owner did: it stays among the owner's machines unless they say so.
        own = self.is_own or tracecontext.is_private(self._base)
        self.is_traced = own if config.propagate_traceparent is None else config.propagate_traceparent
        self._chosen = self._wires_of(config)
        beside = OPENAI_WIRES if self.wire == "openai_chat" else ()
        self._spoken = {*self.other_wires, *beside, *(codec.name for codec in self._codecs.values())}
        self.tokens = None if config.token is None else tokens_of(name, config.token, self.token_kinds)
        self.is_authorized_late = self.tokens is not None  # each request, just before it goes
        authorization = self.authorization() if self.tokens is None else []
        self._headers = [(b"content-type", b"application/json"), *authorization]

    def authorization(self) -> list[tuple[bytes, bytes]]:
        """The headers that carry the account's key.

        Raises:
            ConfigError: the vendor needs a key and none is configured.
        """
        reference = self.key_reference()
        return [] if reference is None else [(b"authorization", f"Bearer {read_secret(reference)}".encode())]

    def key_reference(self) -> str | None:
        """Where the account's key is: named in the configuration, or the vendor's own variable."""
        return self.config.api_key or _in_environment(type(self))

    def speaks(self, codec: Codec) -> bool:
        """Whether this wire's bodies can pass as they came."""
        return codec.name in self._spoken

    def _wires_of(self, config: ProviderConfig) -> dict[str, Codec]:
        """The wires that single models are asked by, where that is not the vendor's own.

        Raises:
            ConfigError: the vendor speaks a wire that has no other beside it.
        """
        if config.wires and self.wire != "openai_chat":
            raise ConfigError(
                f"Provider '{self.name}' speaks {self.wire} and nothing else.",
                hint=f"Remove [gateway.providers.{self.name}] wires.",
            )
        return {model: codecs.get(wire)() for model, wire in config.wires.items()}

    def codec_for(self, asked: Codec, model: str = "") -> Codec:
        """The wire in which this vendor is asked for a model: the caller's own where it can be."""
        chosen = self._chosen and asked.kind == "chat" and (self._chosen.get(model) or self._chosen.get("*"))
        if chosen:
            return asked if asked.name == chosen.name else chosen
        if self.speaks(asked) or asked.address is not None:
            return asked
        found = self._codecs.get(asked.kind)
        if found is None:
            raise NotOffered(f"{self.name} does not speak the wire {asked.name}.", hint="Ask another provider.")
        return found

    def address_of(self, path: str) -> str:
        """The URL of a path of its own API. The base's path may be named again at its beginning, as SDKs do."""
        base = urlsplit(self._base)
        own = base.path.rstrip("/")
        if own and (path == own or path.startswith(f"{own}/")):
            return f"{base.scheme}://{base.netloc}{path}"
        return self._base + path

    def endpoint(self, model: str, *, is_stream: bool, codec: Codec | None = None) -> str:
        """Where this model is asked, on its chat wire or another one."""
        return self._base + (codec or self.codec).path_of(model, is_stream=is_stream)

    def headers(self, attempt_id: bytes) -> list[tuple[bytes, bytes]]:
        """All headers of one attempt."""
        if not self.config.attempt_header:
            return self._headers
        return [*self._headers, (b"x-mooring-attempt", ids.show("att", attempt_id).encode())]

    async def authorized(self, request: Request, http: HttpClient, clock: Clock) -> Request:
        """The request with what is short-lived; called only where `is_authorized_late`.

        Raises:
            NoToken: there is none, and nothing was sent.
        """
        if self.tokens is None:
            return request
        token = await self.tokens.get(http, clock)
        return request._replace(headers=[*request.headers, (b"authorization", f"Bearer {token}".encode())])

    def refused(self, status: int | None, failure: Failure, clock: Clock) -> None:
        """A request that was authorized late got this failure: where that says so, the token is not used again."""
        if self.tokens is not None and status == 401:
            self.tokens.refused(clock)

    def patch(self, fields: Fields) -> None:
        """What differs on this vendor's chat wire; translated and passed-through bodies alike."""

    def request_id(self, headers: ReadsHeaders) -> str | None:
        """The vendor's own name for the request, by which its export can be reconciled."""
        return headers.get("x-request-id")


def key_env(vendor: type[Vendor], environment: Mapping[str, str]) -> str | None:
    """The variable that holds the vendor's key. A key of Mooring's own is none: an SDK was pointed here with it."""
    for name in (vendor.api_key_env, *vendor.other_key_envs):
        value = environment.get(name, "") if name else ""
        if value.strip() and not value.startswith(OWN_KEYS):
            return name
    return None


def _in_environment(vendor: type[Vendor]) -> str | None:
    """The reference to the vendor's key; to the documented variable where none is set, so that the error names it.

    Raises:
        ConfigError: the variable holds a key of Mooring's own, which no vendor may see.
    """
    documented = vendor.api_key_env
    if documented is None:
        return None
    found = key_env(vendor, os.environ)
    if found is None and os.environ.get(documented):
        raise ConfigError(
            f"{documented} holds a key of Mooring's own, not one of the vendor.",
            hint="Start the server in a shell without the exports of `mooring keys env`.",
        )
    return f"env:{found or documented}"


registry: Registry[type[Vendor]] = Registry("provider", "mooring.providers", "mooring.gateway.providers", "Provider")
