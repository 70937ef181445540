"""Which upstream answers a model's name, and what comes after a failure.

Failures are classified by what they say: a request that no one will accept is not sent again, a crowded provider is
asked once more and then left, one that cannot take this request is left at once.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mooring.core.errors import (
    EgressDenied,
    InvalidRequest,
    MooringError,
    NotFound,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamRejected,
)
from mooring.core.registry import did_you_mean
from mooring.net.deadlines import Deadlines

from .codecs import Failure, FailureKind
from .config import GatewayConfig, ProviderConfig
from .provider import Vendor
from .provider import registry as vendors

Disposition = Literal["retry", "next", "stop"]

_BY_KIND: dict[FailureKind, Disposition] = {
    "rate_limited": "retry",
    "overloaded": "retry",
    "broken": "retry",
    "context_length": "next",
    "out_of_money": "next",
    "not_authorised": "next",
    "no_such_model": "next",
    "invalid": "stop",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A provider and the model's name there."""

    vendor: Vendor
    model: str

    def __str__(self) -> str:
        return f"{self.vendor.name}/{self.model}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A model's targets in their order."""

    model: str
    targets: tuple[Target, ...]
    output_cap_tokens: int
    total_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """The next attempt: where, why, and how long to wait before it."""

    target: Target
    reason: str
    wait_seconds: float = 0.0


def disposition(error: MooringError, failure: Failure | None) -> Disposition:
    """What an error means for the next step; `failure` is what the provider said, if it said anything."""
    if failure is not None:
        return _BY_KIND[failure.kind]
    if isinstance(error, UpstreamDisconnected):
        return "retry"
    if isinstance(error, UpstreamRejected):
        return "stop"
    return "next" if isinstance(error, UpstreamError | EgressDenied) else "stop"


class Tries:
    """One call's way through its plan: each target at most twice, the second time after a wait; never too late."""

    def __init__(
        self, plan: Plan, config: GatewayConfig, draw: Callable[[], float], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._left = list(plan.targets)
        self._config = config
        self._draw = draw
        self._now = now
        self._until = None if plan.total_seconds is None else now() + plan.total_seconds
        self._has_retried = False

    def deadlines(self, vendor: Vendor) -> Deadlines:
        """The provider's, or what is left of the call's time if that is less."""
        if self._until is None:
            return vendor.deadlines
        left = max(self._until - self._now(), 0.001)
        return vendor.deadlines._replace(total_seconds=min(left, vendor.deadlines.total_seconds))

    def first(self) -> Step:
        return Step(self._left[0], "first")

    def after(self, what: Disposition, retry_after_seconds: float | None) -> Step | None:
        """The step after a failure, or None where nothing is left."""
        left = None if self._until is None else self._until - self._now()
        if what == "stop" or (left is not None and left <= 0):
            return None
        wait = self._wait(retry_after_seconds)
        most = self._config.retry_wait_limit_seconds
        if what == "retry" and not self._has_retried and wait <= (most if left is None else min(left, most)):
            self._has_retried = True
            return Step(self._left[0], "retry", wait)
        self._left.pop(0)
        self._has_retried = False
        return Step(self._left[0], "fallback") if self._left else None

    def _wait(self, retry_after_seconds: float | None) -> float:
        if retry_after_seconds is not None:
            return retry_after_seconds * (1 + 0.1 * self._draw())  # not all at the same moment, and never early
        return self._config.retry_wait_seconds * (0.5 + self._draw())


class Router:
    """Plans by model name, made once."""

    def __init__(self, config: GatewayConfig, *, draw: Callable[[], float] = random.random) -> None:
        self._config = config
        self._draw = draw
        self._vendors: dict[str, Vendor] = {}
        self._plans: dict[str, Plan] = {}
        self._found: dict[str, ProviderConfig] = {}

    def offer(self, found: Mapping[str, ProviderConfig]) -> None:
        """What answers on this machine now, beside the configuration; it replaces what was offered before."""
        new = {name: provider for name, provider in found.items() if name not in self._config.providers}
        if new == self._found:
            return
        for name in {*new, *self._found}:
            self._vendors.pop(name, None)
        self._plans.clear()
        self._found = new

    def plan(self, model: str) -> Plan:
        """The targets of a model.

        Raises:
            NotFound: nobody serves this name.
            ConfigError: its provider lacks an address or a key.
        """
        plan = self._plans.get(model)
        if plan is None:
            plan = self._make(model)
            if len(self._plans) < 10_000:
                self._plans[model] = plan
        return plan

    def tries(self, plan: Plan) -> Tries:
        return Tries(plan, self._config, self._draw)

    def names(self) -> list[str]:
        """Every model that can be named from the configuration alone."""
        providers = {**self._found, **self._config.providers}
        served = [f"{name}/{model}" for name, provider in providers.items() for model in provider.models]
        return sorted({*self._config.models, *served})

    def _make(self, model: str) -> Plan:
        configured = self._config.models.get(model)
        names: Sequence[str] = configured.targets if configured else (model,)
        targets = tuple(self._target(name, model) for name in names)
        cap = (configured.output_cap_tokens if configured else None) or self._config.output_cap_tokens
        total_seconds = configured.total_seconds if configured else None
        return Plan(model=model, targets=targets, output_cap_tokens=cap, total_seconds=total_seconds)

    def _target(self, name: str, asked: str) -> Target:
        provider, slash, upstream = name.partition("/")
        vendor = self._vendor(provider) if slash and upstream else None
        if vendor is None or (vendor.config.models and upstream not in vendor.config.models):
            hint = (_missing(provider) if vendor is None else None) or did_you_mean(asked[:100], self.names())
            raise NotFound(f"Unknown model '{asked[:100]}'.", hint=hint, param="model")
        return Target(vendor=vendor, model=upstream)

    def _vendor(self, name: str) -> Vendor | None:
        vendor = self._vendors.get(name)
        if vendor is None:
            config = self._config.providers.get(name) or self._found.get(name)
            if config is None:
                return None
            vendor = self._vendors[name] = vendors.get(config.type)(name, config)
        return vendor


def _missing(name: str) -> str | None:
    """What a provider that needs no section lacks."""
    vendor = vendors.get(name) if name in vendors.names() else None
    if vendor is None:
        return None
    if vendor.api_key_env:
        return f"Set {vendor.api_key_env} where the server starts, for the models of {name}."
    if vendor.owned_by or vendor.greeting:
        return f"No {name} answers on this machine; it is looked for every half minute at [gateway] discover_at."
    return None


def unpriced(target: Target) -> MooringError:
    """The refusal of a model whose price nobody knows."""
    return UnknownPrice(
        f"No price is known for {target}.",
        hint=f'Set [gateway.providers.{target.vendor.name}.prices."{target.model}"], or unknown_price = "flag".',
        param="model",
    )


class UnknownPrice(InvalidRequest):
    """The model's price is not known, and the policy (or a budget) wants one. Nothing was sent."""

    code = "unknown_price"
