"""The image wire of OpenAI: `POST /v1/images/generations`. Sold by the image, or by the tokens that it tells."""

from typing import Any, ClassVar

from mooring.core.errors import InvalidRequest, UpstreamMalformed
from mooring.core.messages import ChatRequest, ChatResponse
from mooring.core.usage import Usage

from . import Fields, Kind
from ._plain import UNITS, PlainCodec, number, whole

MOST_IMAGES = 64


class Codec(PlainCodec):
    """`POST /images/generations`."""

    name: ClassVar[str] = "openai_images"
    path: ClassVar[str] = "/images/generations"
    kind: ClassVar[Kind] = "image"
    is_raw: ClassVar[bool] = True
    opaque = frozenset({"b64_json"})

    def facts(self, given: Fields) -> dict[str, Any]:
        if not isinstance(given.get("prompt"), str) or not given["prompt"]:
            raise InvalidRequest("'prompt' is missing.", hint="Say what to draw.", param="prompt")
        # Half-drawn images of a stream are sold too.
        partial = whole(given, "partial_images", 0, lambda number: 0 <= number <= MOST_IMAGES)
        return {UNITS: self.count(given) * (1 + partial), "variant": variant_of(given)}

    def count(self, given: Fields) -> int:
        return whole(given, "n", 1, lambda number: 0 < number <= MOST_IMAGES)

    def variant_of(self, request: ChatRequest) -> str:
        variant: str = request.extra["variant"]
        return variant

    def answered(self, value: Fields) -> dict[str, Any]:
        data = value.get("data")
        if isinstance(data, list):
            return {"images": len(data)}
        if isinstance(value.get("type"), str):  # the event of a stream
            return {"images": 1}
        raise UpstreamMalformed("The provider's answer has no images.", is_billable=True)

    def check_answer(self, request: ChatRequest, response: ChatResponse) -> None:
        """As many as were asked for: fewer would be a shortened success."""
        if response.extra["images"] < request.n:
            raise UpstreamMalformed(
                f"The provider answered {response.extra['images']} images of {request.n}.", is_billable=True
            )

    def metered(self, value: Fields) -> Usage | None:
        return image_usage(value)


def image_usage(value: Fields) -> Usage | None:
    """The images, and their tokens where the model is sold by them; those of images stand for those of audio."""
    data, usage = value.get("data"), value.get("usage")
    images = len(data) if isinstance(data, list) else 1
    details = usage.get("input_tokens_details") if isinstance(usage, dict) else None
    made = usage.get("output_tokens_details") if isinstance(usage, dict) else None
    return Usage(
        input_tokens=number(usage, "input_tokens"),
        output_tokens=number(usage, "output_tokens"),
        input_audio_tokens=number(details, "image_tokens"),
        output_audio_tokens=number(made, "image_tokens"),
        units=images,
    ).checked()


def variant_of(given: Fields) -> str:
    """What a price may depend on: `1024x1792-hd`."""
    parts = (given.get("size"), given.get("quality"))
    return "-".join(part for part in parts if isinstance(part, str) and part not in ("", "auto"))
