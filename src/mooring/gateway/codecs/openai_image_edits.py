"""The other half of OpenAI's image wire: `POST /v1/images/edits`, a form with the images."""

from typing import Any, ClassVar

from mooring.core.errors import InvalidRequest
from mooring.core.messages import ChatRequest, ChatResponse
from mooring.core.usage import Usage

from . import Fields, Kind
from ._form import FormCodec, file_of, whole_text
from ._plain import UNITS
from .openai_images import MOST_IMAGES, image_usage, variant_of
from .openai_images import Codec as Images


class Codec(FormCodec):
    """`POST /images/edits`."""

    name: ClassVar[str] = "openai_image_edits"
    path: ClassVar[str] = "/images/edits"
    kind: ClassVar[Kind] = "image"
    is_raw: ClassVar[bool] = True
    opaque = Images.opaque

    def facts(self, given: Fields) -> dict[str, Any]:
        file_of(given, "image")
        if not given.get("prompt"):
            raise InvalidRequest("'prompt' is missing.", hint="Say what to change.", param="prompt")
        partial = whole_text(given, "partial_images", 0, MOST_IMAGES) if given.get("partial_images") != "0" else 0
        return {UNITS: self.count(given) * (1 + partial), "variant": variant_of(given)}

    def count(self, given: Fields) -> int:
        return whole_text(given, "n", 1, MOST_IMAGES)

    def variant_of(self, request: ChatRequest) -> str:
        variant: str = request.extra["variant"]
        return variant

    def answered(self, value: Fields) -> dict[str, Any]:
        return Images().answered(value)

    def check_answer(self, request: ChatRequest, response: ChatResponse) -> None:
        Images().check_answer(request, response)

    def metered(self, value: Fields) -> Usage | None:
        return image_usage(value)
