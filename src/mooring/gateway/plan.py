"""What a model's name stands for: its targets, what is declared of them, and how one is chosen."""

from dataclasses import dataclass, field

from .provider import Vendor
from .route_config import FactsConfig, MeaningConfig, NeedsConfig, Strategy
from .task import Chooser

UNKNOWN = FactsConfig()
NO_NEEDS = NeedsConfig()


@dataclass(frozen=True, slots=True)
class Target:
    """A provider and the model's name there, with what is declared of it."""

    vendor: Vendor
    model: str
    facts: FactsConfig = UNKNOWN
    weight: float = 1.0
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.vendor.name}/{self.model}")

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Plan:
    """A model's targets, and how one of them is chosen; `is_plain`: as listed, whatever the request is.

    `is_once`: never sent again, because nobody knows what it did.
    """

    model: str
    targets: tuple[Target, ...]
    output_cap_tokens: int
    total_seconds: float | None = None
    cache_seconds: int | None = None
    cache_marks: bool = False
    cache_meaning: MeaningConfig | None = None
    repairs: int | None = None
    strategy: Strategy = "ordered"
    needs: NeedsConfig = NO_NEEDS
    chooser: Chooser | None = None
    task_seconds: float = 0.0
    is_plain: bool = True
    is_once: bool = False

    @property
    def is_priced(self) -> bool:
        """Whether prices decide anything here; looking them up takes a moment the first time."""
        bounds = (self.needs.max_input_usd, self.needs.max_output_usd)
        return self.strategy == "cheapest" or any(bound is not None for bound in bounds)


@dataclass(frozen=True, slots=True)
class Step:
    """The next attempt: where, why, and how long to wait before it."""

    target: Target
    reason: str
    wait_seconds: float = 0.0
