"""[gateway] of `mooring.toml`: providers, models, limits and what to do about unknown prices."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from mooring.core.errors import ConfigError
from mooring.core.registry import did_you_mean

from .limit_config import LimitsConfig
from .route_config import BreakerConfig, FactsConfig, MeaningConfig, NeedsConfig, Section, Strategy, TaskConfig

# Providers that need no section: their key is in the environment, or they are found on this machine.
WITHOUT_SECTION = (
    *("anthropic", "cohere", "deepseek", "gemini", "groq", "llamacpp", "local", "mistral"),
    *("ollama", "openai", "openrouter", "together", "vllm"),
)


def _reference(text: str) -> str:
    if not text.startswith(("env:", "file:")):
        raise ValueError("a secret must be a reference, 'env:NAME' or 'file:PATH', never the secret itself")
    return text


def _token(text: str) -> str:
    if not text.startswith(("env:", "file:", "command:")) and text not in ("metadata", "workload_identity"):
        raise ValueError(
            "a token is 'env:NAME', 'file:PATH', 'command:LINE', 'metadata' or 'workload_identity', never itself"
        )
    return text


SecretRef = Annotated[str, AfterValidator(_reference)]
TokenRef = Annotated[str, AfterValidator(_token)]
Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.\-\[\]:]+:\d{1,5}$")]


def read_secret(reference: str) -> str:
    """The secret behind `env:NAME` or `file:PATH`.

    Raises:
        ConfigError: there is none.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = os.environ.get(name)
        if not value:
            raise ConfigError(f"The environment variable {name} is not set.", hint=f"Export {name}, or name another.")
        return value
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"The secret file {name} cannot be read: {error.strerror}.", hint="Check its path and owner."
        ) from error


class PriceConfig(Section):
    """Prices of one model, in dollars per million tokens, as decimal text. They win over every other source."""

    input_usd: str = Field(default="0", pattern=r"^\d+(\.\d+)?$", description="Per million input tokens.")
    output_usd: str = Field(default="0", pattern=r"^\d+(\.\d+)?$", description="Per million output tokens.")
    cached_input_usd: str | None = Field(
        default=None, pattern=r"^\d+(\.\d+)?$", description="Per million cached input tokens."
    )
    cache_write_usd: str | None = Field(
        default=None, pattern=r"^\d+(\.\d+)?$", description="Per million tokens written to a cache."
    )
    reasoning_usd: str | None = Field(
        default=None, pattern=r"^\d+(\.\d+)?$", description="Per million reasoning tokens."
    )
    request_usd: str = Field(default="0", pattern=r"^\d+(\.\d+)?$", description="Per request.")
    unit_usd: str | None = Field(
        default=None,
        pattern=r"^\d+(\.\d+)?$",
        description="Per unit of what is not sold by tokens: an image, a search of rerank, a second heard, a "
        "character spoken.",
    )
    most_units: int | None = Field(
        default=None,
        gt=0,
        description="The most units of one request where only the answer tells (seconds heard); a budget needs it.",
    )
    source: str = Field(default="mooring.toml", description="Where the figures come from; every attempt stores it.")


class ProviderConfig(Section):
    """One vendor account."""

    type: str = Field(default="openai_compatible", description="The vendor; the page about providers lists them all.")
    base_url: str | None = Field(default=None, description="Where its API begins, such as http://127.0.0.1:8000/v1.")
    api_key: SecretRef | None = Field(default=None, description="`env:NAME` or `file:PATH`.")
    token: TokenRef | None = Field(
        default=None,
        description="Where short-lived tokens come from, instead of a key: `env:NAME`, `file:PATH`, `command:LINE` "
        "(what it prints), `metadata` (the cloud's own endpoint) or `workload_identity` (Azure, AWS).",
    )
    api_version: str | None = Field(
        default=None,
        description="Of Azure: asks at the deployment's own address. Without a value: at /openai/v1.",
    )
    region: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9-]+$",
        description="Where a cloud computes; without a value: `global` at Google, `AWS_REGION` at AWS.",
    )
    profile: str | None = Field(
        default=None,
        description="Of AWS: the profile of its shared files; without a value, AWS's own order of sources.",
    )
    cloud_project: str | None = Field(default=None, description="The project of Google Cloud that pays.")
    wires: dict[str, Literal["openai_chat", "openai_responses"]] = Field(
        default={},
        description="The wire by which a model is asked, by upstream model; `*` for all others. For OpenAI's and what "
        "is compatible with it; without a value: openai_chat.",
    )
    models: tuple[str, ...] = Field(
        default=(), description="Upstream models served as `provider/model`; empty: any name."
    )
    prices: dict[str, PriceConfig] = Field(
        default={},
        description="Prices by upstream model; `*` for all others. A name that begins with `/` is a path, for what "
        "passes through.",
    )
    passthrough: tuple[str, ...] = Field(
        default=(),
        description="Paths of its API, and all below them, that pass through at `/{provider}/…` for every key with the "
        "scope `call`. The account is one for all projects: what is not named here needs a key with the scope `admin`.",
    )
    facts: dict[str, FactsConfig] = Field(
        default={}, description="What its models can do, by upstream model; `*` for all others."
    )
    propagate_traceparent: bool | None = Field(
        default=None,
        description="Send a `traceparent` of the call's trace. Without a value: only to servers of one's own, on this "
        "machine or a private address, because a trace id lets others join what a user did.",
    )
    attempt_header: bool = Field(
        default=False,
        description="Send the attempt's id as x-mooring-attempt, so that the provider's export can name it.",
    )
    max_output_tokens: int = Field(
        default=131_072,
        gt=0,
        description="The most that a model of this provider can write, where the call has no cap.",
    )
    ca_bundle: str | None = Field(
        default=None, description="Certificates (PEM) of an authority that vouches for this provider, too."
    )
    client_certificate: str | None = Field(
        default=None, description="The certificate (PEM) that this server shows to the provider, with its key or not."
    )
    client_key: str | None = Field(default=None, description="The certificate's key, where it is a file of its own.")
    client_key_password: SecretRef | None = Field(
        default=None, description="The key's password: `env:NAME`, `file:PATH`."
    )
    connect_seconds: float = Field(default=10.0, gt=0, description="Deadline for connecting.")
    first_byte_seconds: float = Field(default=120.0, gt=0, description="Deadline for the head of the answer.")
    idle_seconds: float = Field(default=60.0, gt=0, description="Longest silence inside an answer.")
    total_seconds: float = Field(default=600.0, gt=0, description="Longest attempt.")


class ModelConfig(Section):
    """A name that callers use, and the targets behind it."""

    targets: tuple[str, ...] = Field(min_length=1, description="`provider/model`, first choice first.")
    strategy: Strategy = Field(
        default="ordered",
        description="In which order targets are tried: as listed, drawn by `weights`, the cheapest for the request, "
        "the fastest of late, the least busy, always the same for a conversation, or first the one whose examples are "
        "like what the user said last.",
    )
    task: TaskConfig = Field(default=TaskConfig(), description="For `task`: what was learnt from the examples.")
    weights: dict[str, float] = Field(
        default={}, description="Shares by target, for `weighted`, `least_busy` and `sticky`; 1 where none is given."
    )
    needs: NeedsConfig = Field(default=NeedsConfig(), description="What every target must offer.")
    total_seconds: float | None = Field(
        default=None, gt=0, description="Longest call, all its targets and waits included."
    )
    repairs: int | None = Field(
        default=None,
        ge=0,
        le=5,
        description="Hold answers to the JSON that was asked for: mend them, and ask each target again so often.",
    )
    cache_marks: bool = Field(
        default=False,
        description="Mark long requests by Anthropic's wire for the vendor's cache, where they hold no mark: reading "
        "costs a tenth of the input, writing a quarter more. `mooring cost savings` says what it saved.",
    )
    cache_seconds: int | None = Field(
        default=None,
        gt=0,
        description="How long an answer is given again to the same request of the same project, for nothing.",
    )
    cache_meaning: MeaningConfig | None = Field(
        default=None, description="Give an answer again to a question that says the same in other words."
    )
    output_cap_tokens: int | None = Field(
        default=None, gt=0, description="Put in where a call has no cap of its own and a budget applies."
    )

    @model_validator(mode="after")
    def _meaning_expires(self) -> "ModelConfig":
        if self.cache_meaning is not None and self.cache_seconds is None:
            raise ValueError("cache_meaning needs cache_seconds: how long an answer may be given again")
        return self

    @model_validator(mode="after")
    def _task_is_learnt(self) -> "ModelConfig":
        if (self.strategy == "task") != bool(self.task.file and self.task.digest):
            raise ValueError(
                'strategy = "task" and a section `task` go together; `mooring config routes train` makes it'
            )
        return self


class GatewayConfig(Section):
    """The whole section."""

    providers: dict[str, ProviderConfig] = Field(default={}, description="Vendor accounts by name.")
    discover: bool = Field(
        default=True,
        description="Serve vendors whose key is in the environment, and model servers that answer at `discover_at`.",
    )
    discover_at: tuple[Address, ...] = Field(
        default=("127.0.0.1:11434", "127.0.0.1:8000", "127.0.0.1:8080"),
        description="Where Ollama, vLLM and llama.cpp are looked for, as `host:port`.",
    )
    models: dict[str, ModelConfig] = Field(default={}, description="Names beside `provider/model`, with their targets.")
    breaker: BreakerConfig = Field(default=BreakerConfig(), description="When a target rests.")
    limits: LimitsConfig = Field(default=LimitsConfig(), description="Rate limits.")
    unknown_price: Literal["refuse", "flag"] = Field(
        default="refuse",
        description="A model without a known price: refuse the call, or answer it and keep its cost as unknown.",
    )
    output_cap_tokens: int = Field(
        default=4096, gt=0, description="Put in where a call has no cap, a budget applies and its model names none."
    )
    answer_limit_bytes: int = Field(default=64 * 1024 * 1024, gt=0, description="Largest answer of a provider.")
    retry_wait_seconds: float = Field(
        default=0.25, ge=0, description="Mean wait before the one retry, without Retry-After."
    )
    retry_wait_limit_seconds: float = Field(default=20.0, ge=0, description="Longest Retry-After that is waited for.")
    key_lifetime_seconds: int = Field(default=86_400, gt=0, description="How long an idempotency key answers.")
    response_lifetime_seconds: int = Field(
        default=2_592_000, gt=0, description="How long a stored response can be gone on with or asked for."
    )
    ca_bundle: str | None = Field(
        default=None, description="Certificates (PEM) of authorities that are trusted beside the system's."
    )
    file_lifetime_seconds: int = Field(
        default=2_592_000, gt=0, description="How long an uploaded file, or the output of a batch, can be read."
    )
    batch_lines_at_once: int = Field(default=8, gt=0, le=256, description="Lines of one batch that are asked at once.")
    allowed_networks: tuple[str, ...] = Field(
        default=(), description="Private networks that providers may live in, as CIDR."
    )

    @model_validator(mode="after")
    def _targets_exist(self) -> "GatewayConfig":
        for name, model in self.models.items():
            for target, weight in model.weights.items():
                if weight <= 0:
                    raise ValueError(f"models.{name}.weights: {target} has {weight:g}; a weight is above 0")
                if target not in model.targets:
                    raise ValueError(
                        f"models.{name}.weights: '{target}' is no target. {did_you_mean(target, list(model.targets))}"
                    )
            for target in model.targets:
                self._check_target(f"models.{name}", target)
        return self

    @model_validator(mode="after")
    def _meanings_are_of_one_model(self) -> "GatewayConfig":
        for name, model in self.models.items():
            if model.cache_meaning is None:
                continue
            where, vectors = f"models.{name}.cache_meaning", model.cache_meaning.model
            if vectors not in self.models:
                self._check_target(where, vectors)
            elif len(self.models[vectors].targets) > 1:
                raise ValueError(f"{where}: '{vectors}' has several targets, and vectors of two models do not compare")
        return self

    def _check_target(self, where: str, target: str) -> None:
        provider, slash, upstream = target.partition("/")
        if not slash or not upstream:
            raise ValueError(f"{where}: target '{target}' is not of the form provider/model")
        if provider not in self.providers and provider not in WITHOUT_SECTION:
            known = sorted({*self.providers, *WITHOUT_SECTION})
            raise ValueError(f"{where}: unknown provider '{provider}'. {did_you_mean(provider, known)}")
