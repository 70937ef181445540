"""Why a request would go where it goes: the router's own judgement, with nothing sent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .choosing import text_of
from .codecs import Codec
from .codecs import registry as codecs
from .config import GatewayConfig
from .plan import Plan
from .routing import Judged, Router
from .task import Choice


@dataclass(frozen=True)
class Explanation:
    """The targets in the order in which they would be tried, then those that cannot answer.

    `health` is what a running server says of them, by name; None where none was asked.
    """

    plan: Plan
    judged: Sequence[Judged]
    health: Mapping[str, Mapping[str, Any]] | None
    choice: Choice | None = None

    def lines(self) -> list[str]:
        """For people."""
        able = sum(one.lacks is None for one in self.judged)
        width = max(len(str(one.target)) for one in self.judged)
        lines = [f"Model '{self.plan.model}', {self.plan.strategy}: {able} of {len(self.judged)} targets can answer."]
        for number, one in enumerate(self.judged, 1):
            place = f"{number}." if one.lacks is None else "- "
            words = [one.lacks or one.why, *self._state(str(one.target))]
            lines.append(f"{place} {one.target!s:{width}}  {'; '.join(words)}")
        if self.choice is not None and self.choice.target is None:
            lines.append(f"The targets stay as listed: {self.choice.why}.")
        if self.health is None:
            lines.append("No server runs here: how the targets are doing is not known.")
        return lines

    def facts(self) -> dict[str, Any]:
        """For programs."""
        choice = self.choice
        return {
            "model": self.plan.model,
            "strategy": self.plan.strategy,
            "is_health_known": self.health is not None,
            "choice": None if choice is None else choice._asdict(),
            "targets": [
                {
                    "target": str(one.target),
                    "can_answer": one.lacks is None,
                    "why": one.lacks or one.why,
                    "health": dict((self.health or {}).get(str(one.target), {})),
                }
                for one in self.judged
            ],
        }

    def _state(self, name: str) -> list[str]:
        known = (self.health or {}).get(name)
        if known is None or known["state"] == "well":
            return []
        if known["state"] == "resting":
            return [f"rests for {known['rests_for_seconds']:.0f} s: {known['why']}"]
        return [f"is being probed: {known['why']}"]


def explain(
    config: GatewayConfig,
    body: bytes,
    *,
    session: str = "",
    health: Sequence[Mapping[str, Any]] | None = None,
    embed: Callable[[str, str], Sequence[float] | None] = lambda model, text: None,
) -> Explanation:
    """The explanation for a request in OpenAI's chat format; `embed` makes a text's vector by a model, or cannot.

    Raises:
        InvalidRequest: not such a request.
        NotFound: nobody serves its model.
    """
    codec: Codec = codecs.get("openai_chat")()
    wire = codec.decode_request(body)
    router = Router(config)
    plan = router.plan(wire.request.model)
    by_name = None if health is None else {str(one["target"]): one for one in health}
    for name, known in (by_name or {}).items():
        there = router.health.of(name)
        there.running, there.latency_seconds = int(known["running"]), float(known["latency_seconds"])
    choice = None
    if plan.chooser is not None:
        text = text_of(wire.request)
        vector = embed(plan.chooser.embedding_model, text) if text else None
        choice = Choice(None, "no vector was made of its text") if vector is None else plan.chooser.choose(vector)
    conversation = session or (wire.request.user or "")
    judged = router.judge(plan, wire.request, wire.fields, conversation=conversation, choice=choice)
    return Explanation(plan, judged, by_name, choice)
