"""Settings of limits: rates and running requests by who asks and what for, and how much one process takes on."""

from typing import Literal

from pydantic import Field

from .route_config import Section


class LimitRule(Section):
    """A limit for each key, user, model or project, or for one of them."""

    per: Literal["key", "user", "model", "project"] = Field(description="Whose requests are counted together.")
    only: str | None = Field(default=None, description="Only this one: a key's id, a user, a model's name, a project.")
    requests_per_minute: int | None = Field(default=None, gt=0, description="Requests that may start in a minute.")
    tokens_per_minute: int | None = Field(
        default=None, gt=0, description="Tokens, input and output: estimated when a request starts, then corrected."
    )
    concurrent_requests: int | None = Field(
        default=None, gt=0, description="Requests that may run at once, over all processes."
    )


class LimitsConfig(Section):
    """For each API key, and what one process takes on at all."""

    requests_per_minute: int | None = Field(
        default=None, gt=0, description="Requests that one key may start in a minute."
    )
    tokens_per_minute: int | None = Field(default=None, gt=0, description="Tokens of one key in a minute.")
    concurrent_requests: int | None = Field(default=None, gt=0, description="Requests that one key may have running.")
    rules: tuple[LimitRule, ...] = Field(default=(), description="Further limits; all that apply must hold.")
    running_requests: int = Field(
        default=1000, gt=0, description="Requests that one process of `serve` answers at once; more wait."
    )
    waiting_requests: int = Field(default=1000, ge=0, description="Requests that may wait; more are refused with 429.")
    wait_seconds: float = Field(default=30.0, gt=0, description="Longest wait for a place, then 429.")

    def all_rules(self) -> tuple[LimitRule, ...]:
        """The limits of each key as a rule, before the others."""
        each = (self.requests_per_minute, self.tokens_per_minute, self.concurrent_requests)
        if each == (None, None, None):
            return self.rules
        requests, tokens, concurrent = each
        own = LimitRule(
            per="key", requests_per_minute=requests, tokens_per_minute=tokens, concurrent_requests=concurrent
        )
        return (own, *self.rules)
