"""What a request needs of a target, and why a target cannot give it.

A fact that is not known excludes nothing, except where a route wants every parameter honoured for sure.
"""

from collections.abc import Iterable
from typing import NamedTuple

from mooring.core.messages import ChatRequest, MediaPart, TextPart, ToolResultPart

from .prices import PriceSheet
from .route_config import FactsConfig, NeedsConfig

# Rough on purpose: text of most languages has fewer tokens. Who is just above the line is refused by the provider, and
# then a target with a longer context is asked.
CHARACTERS_PER_TOKEN = 4
# Every target takes these, or Mooring takes them itself.
COMMON_FIELDS = frozenset({"model", "messages", "input", "stream", "stream_options", "user", "metadata"})
# A limit of output has two names on the wire, and either is the other.
SAME_FIELD = {"max_completion_tokens": "max_tokens"}


class Demand(NamedTuple):
    """What one request needs."""

    modalities: frozenset[str]
    context_tokens: int
    has_tools: bool
    json_output: str
    parameters: frozenset[str]
    is_held: bool = False  # to its JSON by Mooring itself, whatever the target can do


def demand_of(request: ChatRequest, fields: Iterable[str], *, is_held: bool = False) -> Demand:
    """Read off the request; `fields` are the names in its body."""
    characters = 0
    modalities = {"text"}
    for message in request.messages:
        for part in message.parts:
            inner = part.parts if isinstance(part, ToolResultPart) else (part,)
            for one in inner:
                if isinstance(one, TextPart):
                    characters += len(one.text)
                elif isinstance(one, MediaPart):
                    modalities.add(one.kind)
    kind = request.output.kind if request.output is not None else "text"
    return Demand(
        modalities=frozenset(modalities),
        context_tokens=characters // CHARACTERS_PER_TOKEN + (request.max_output_tokens or 0),
        has_tools=bool(request.tools),
        json_output={"json_object": "object", "json_schema": "schema"}.get(kind, "none"),
        parameters=frozenset(SAME_FIELD.get(name, name) for name in fields) - COMMON_FIELDS,
        is_held=is_held,
    )


def lacks(demand: Demand, needs: NeedsConfig, facts: FactsConfig, sheet: PriceSheet | None) -> str | None:
    """Why a target will not do, in the words that the caller reads; None: it will."""
    return _lacks_by_itself(demand, facts) or _lacks_by_route(demand, needs, facts) or _too_dear(needs, sheet)


def _lacks_by_itself(demand: Demand, facts: FactsConfig) -> str | None:
    if facts.inputs is not None:
        missing = sorted(demand.modalities - set(facts.inputs))
        if missing:
            return f"cannot read {' and '.join(missing)}"
    if facts.context_tokens is not None and demand.context_tokens > facts.context_tokens:
        return f"has a context of {facts.context_tokens} tokens, and about {demand.context_tokens} are needed"
    if demand.has_tools and facts.tools is False:
        return "cannot call tools"
    if demand.json_output != "none" and facts.json_output == "none" and not demand.is_held:
        return "cannot be held to JSON"
    return None


def _lacks_by_route(demand: Demand, needs: NeedsConfig, facts: FactsConfig) -> str | None:
    if needs.region is not None and facts.region != needs.region:
        return f"is not known to run in '{needs.region}'"
    if needs.context_tokens is not None and (facts.context_tokens or 0) < needs.context_tokens:
        return f"is not known to have a context of {needs.context_tokens} tokens"
    if needs.require_parameters:
        known = {SAME_FIELD.get(name, name) for name in facts.parameters or ()}
        missing = sorted(demand.parameters - known)
        if missing:
            return f"is not known to honour {', '.join(missing)}"
    return None


def _too_dear(needs: NeedsConfig, sheet: PriceSheet | None) -> str | None:
    for name, most, attribute in (
        ("input", needs.max_input_usd, "input_picos"),
        ("output", needs.max_output_usd, "output_picos"),
    ):
        if most is None:
            continue
        if sheet is None:
            return "has no known price"
        usd = getattr(sheet.base, attribute) / 1_000_000
        if usd > most:
            return f"costs ${usd:g} per million {name} tokens, and ${most:g} is the most"
    return None
