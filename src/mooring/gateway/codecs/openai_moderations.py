"""The moderation wire of OpenAI: `POST /v1/moderations`."""

from typing import Any, ClassVar

from mooring.core.errors import InvalidRequest, UpstreamMalformed
from mooring.core.messages import ChatRequest, ChatResponse
from mooring.core.usage import Usage

from . import Fields, Kind
from ._plain import UNITS, PlainCodec, number


class Codec(PlainCodec):
    """`POST /moderations`."""

    name: ClassVar[str] = "openai_moderations"
    path: ClassVar[str] = "/moderations"
    kind: ClassVar[Kind] = "moderation"
    default_model = "openai/omni-moderation-latest"  # the SDK lets its users leave it out

    def facts(self, given: Fields) -> dict[str, Any]:
        asked = given.get("input")
        if not asked or not isinstance(asked, str | list):
            raise InvalidRequest("'input' is neither a text nor texts.", hint="Send one, or a list.", param="input")
        is_many = isinstance(asked, list) and all(isinstance(one, str) for one in asked)
        count = len(asked) if is_many else 1
        return {UNITS: count, "results": count}

    def answered(self, value: Fields) -> dict[str, Any]:
        results = value.get("results")
        if not isinstance(results, list):
            raise UpstreamMalformed("The provider's answer has no results.", is_billable=True)
        return {"results": len(results)}

    def check_answer(self, request: ChatRequest, response: ChatResponse) -> None:
        """One verdict for each text: a missing one would read as harmless."""
        found, asked = response.extra["results"], request.extra["results"]
        if found != asked:
            raise UpstreamMalformed(f"The provider judged {found} texts of {asked}.", is_billable=True)

    def metered(self, value: Fields) -> Usage | None:
        usage = value.get("usage")
        tokens = number(usage, "prompt_tokens") or number(usage, "total_tokens")
        return Usage(input_tokens=tokens) if tokens else None

    def metered_unsaid(self, request: ChatRequest) -> Usage | None:
        """So many texts; OpenAI asks nothing for them, and says nothing of tokens."""
        return Usage(units=request.extra[UNITS])
