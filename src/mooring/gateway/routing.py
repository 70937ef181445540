"""Which upstreams can answer a model's name, and in which order they are asked. What follows a failure: `tries.py`."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mooring.core.clock import Clock, SystemClock
from mooring.core.errors import InvalidRequest, MooringError, NotFound
from mooring.core.messages import ChatRequest
from mooring.core.registry import did_you_mean

from .config import GatewayConfig, ProviderConfig
from .health import Targets
from .needs import demand_of, lacks
from .plan import NO_NEEDS, UNKNOWN, Plan, Target
from .prices import Prices
from .provider import Vendor
from .provider import registry as vendors
from .strategy import Candidate, Moment, order, reason
from .task import Choice, load
from .tries import Tries


@dataclass(frozen=True, slots=True)
class Judged:
    """What the router thinks of a target: `lacks` says why it will not do, `why` what its place rests on."""

    target: Target
    lacks: str | None
    why: str = ""


class Router:
    """Plans by model name, made once; for each request, which of the plan's targets and in which order."""

    def __init__(
        self, config: GatewayConfig, *, clock: Clock | None = None, draw: Callable[[], float] = random.random
    ) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self._draw = draw
        self._vendors: dict[str, Vendor] = {}
        self._plans: dict[str, Plan] = {}
        self.prices = Prices()
        self.health = Targets(config.breaker, self._clock.monotonic)
        self._found: dict[str, ProviderConfig] = {}
        self._choosers = {
            name: load(name, model.task, model.targets) for name, model in config.models.items() if model.task.file
        }

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

    def tries(
        self,
        plan: Plan,
        request: ChatRequest,
        fields: Iterable[str],
        *,
        conversation: str = "",
        choice: Choice | None = None,
    ) -> Tries:
        """One call's way through the targets that can answer it.

        Raises:
            NoTargetFits: none of them can.
        """
        targets: Sequence[Target] = plan.targets
        if not plan.is_plain:
            judged = self.judge(plan, request, fields, conversation=conversation, choice=choice)
            targets = [one.target for one in judged if one.lacks is None]
            if not targets:
                reasons = "; ".join(f"{one.target} {one.lacks}" for one in judged)
                raise NoTargetFits(
                    f"Model '{plan.model}' has no target for this request: {reasons}.",
                    hint="Ask for less, or add a target that can do it.",
                    param="model",
                )
        clock = self._clock
        return Tries(plan, targets, self._config, health=self.health, draw=self._draw, now=clock.monotonic)

    def judge(
        self,
        plan: Plan,
        request: ChatRequest,
        fields: Iterable[str],
        *,
        conversation: str = "",
        choice: Choice | None = None,
    ) -> list[Judged]:
        """Every target with what is thought of it: those that can answer in their order, then the others."""
        demand = demand_of(request, fields, is_held=plan.repairs is not None and not request.is_stream)
        able: dict[str, Candidate] = {}
        unable: list[Judged] = []
        by_name = {str(target): target for target in plan.targets}
        for place, (name, target) in enumerate(by_name.items()):
            sheet = self.prices.find(target.vendor, target.model, self._clock.now_us()) if plan.is_priced else None
            why_not = lacks(demand, plan.needs, target.facts, sheet)
            if why_not is not None:
                unable.append(Judged(target, why_not))
            else:
                able[name] = Candidate(place, name, target.weight, self.health.of(name), sheet)
        moment = Moment(demand.context_tokens, request.max_output_tokens, conversation, self._draw, choice)
        ordered = order(plan.strategy, list(able.values()), moment)
        return [Judged(by_name[one.name], None, reason(plan.strategy, one, moment)) for one in ordered] + unable

    def has_vendor(self, name: str) -> bool:
        """Whether there is a provider of this name."""
        return name in self._config.providers or name in self._found

    def vendor(self, name: str) -> Vendor | None:
        """The provider of this name, if there is one.

        Raises:
            ConfigError: it lacks an address or a key.
        """
        return self._vendor(name)

    def names(self) -> list[str]:
        """Every model that can be named from the configuration alone."""
        providers = {**self._found, **self._config.providers}
        served = [f"{name}/{model}" for name, provider in providers.items() for model in provider.models]
        return sorted({*self._config.models, *served})

    def _make(self, model: str) -> Plan:
        configured = self._config.models.get(model)
        names: Sequence[str] = configured.targets if configured else (model,)
        weights = configured.weights if configured else {}
        targets = tuple(self._target(name, model, weights.get(name, 1.0)) for name in names)
        cap = (configured.output_cap_tokens if configured else None) or self._config.output_cap_tokens
        total_seconds = configured.total_seconds if configured else None
        strategy = configured.strategy if configured else "ordered"
        needs = configured.needs if configured else NO_NEEDS
        return Plan(
            model=model,
            targets=targets,
            output_cap_tokens=cap,
            total_seconds=total_seconds,
            repairs=configured.repairs if configured else None,
            cache_seconds=configured.cache_seconds if configured else None,
            cache_marks=configured.cache_marks if configured else False,
            cache_meaning=configured.cache_meaning if configured else None,
            strategy=strategy,
            needs=needs,
            chooser=self._choosers.get(model),
            task_seconds=configured.task.seconds if configured else 0.0,
            is_plain=strategy == "ordered" and needs == NO_NEEDS and all(one.facts == UNKNOWN for one in targets),
        )

    def _target(self, name: str, asked: str, weight: float) -> Target:
        provider, slash, upstream = name.partition("/")
        vendor = self._vendor(provider) if slash and upstream else None
        if vendor is None or (vendor.config.models and upstream not in vendor.config.models):
            hint = (_missing(provider) if vendor is None else None) or did_you_mean(asked[:100], self.names())
            raise NotFound(f"Unknown model '{asked[:100]}'.", hint=hint, param="model")
        facts = vendor.config.facts
        return Target(vendor, upstream, facts.get(upstream) or facts.get("*") or UNKNOWN, weight)

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


def unpriced(target: Target, *, is_path: bool = False) -> MooringError:
    """The refusal of a model, or of a path, whose price nobody knows."""
    name = f"/{target.model}" if is_path else target.model
    return UnknownPrice(
        f"No price is known for {target}.",
        hint=f'Set [gateway.providers.{target.vendor.name}.prices."{name}"], or unknown_price = "flag".',
        param="model",
    )


class NoTargetFits(InvalidRequest):
    """No target of the model can do what the request needs. Nothing was sent."""

    code = "no_target_fits"


class UnknownPrice(InvalidRequest):
    """The model's price is not known, and the policy (or a budget) wants one. Nothing was sent."""

    code = "unknown_price"
