"""What the wires have in common whose requests are forms with files: the parts pass, the model's name is put in."""

from collections.abc import Sequence
from typing import Any

from mooring.core.errors import InvalidRequest
from mooring.core.messages import ChatRequest

from ..multipart import Part, encode, one, parse
from . import Fields, WireRequest
from ._plain import LEAVES, PlainCodec

PARTS = "parts"  # the one field of such a body
_MODEL = "model"


class FormCodec(PlainCodec):
    """`multipart/form-data` in. The guards read what is no file."""

    def decode_request(self, body: bytes, *, model: str | None = None, is_stream: bool = False) -> WireRequest:
        """The model, and every field that is no file. The boundary is the body's own first line.

        Raises:
            InvalidRequest: no form, or no model.
        """
        first = body[:72].partition(b"\r\n")[0].removeprefix(b"--").decode("latin-1")
        parts = parse(body, f'boundary="{first}"')
        texts = {part.name: part.text for part in parts if part.file_name is None}
        name = texts.get(_MODEL)
        if not name:
            raise InvalidRequest("'model' is missing.", hint="Name one as provider/model.", param=_MODEL)
        given: dict[str, Any] = {PARTS: parts, **texts}
        extra = {LEAVES: [part.text for part in parts if _is_text(part)], **self.facts(given)}
        request = ChatRequest(
            model=name,
            messages=(),
            user=texts.get("user"),
            n=self.count(given),
            is_stream=texts.get("stream", "").lower() == "true",
            extra=extra,
        )
        return WireRequest(request, {PARTS: parts})

    def rewrite_request(self, fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
        fresh = iter(after.extra[LEAVES])
        fields[PARTS] = [part._replace(data=next(fresh).encode()) if _is_text(part) else part for part in fields[PARTS]]

    def prepare(self, fields: Fields, *, model: str, is_stream: bool, cap_field: str | None, cap_tokens: int) -> None:
        fields[PARTS] = [
            part._replace(data=model.encode()) if part.name == _MODEL and part.file_name is None else part
            for part in fields[PARTS]
        ]

    def body_of(self, fields: Fields) -> bytes:
        return encode(fields[PARTS])[0]

    def sent_headers(self, given: Sequence[tuple[bytes, bytes]], body: bytes) -> list[tuple[bytes, bytes]]:
        kind = b"multipart/form-data; boundary=" + body[2:].partition(b"\r\n")[0]
        return [(name, kind if name == b"content-type" else value) for name, value in given]


def file_of(given: Fields, name: str) -> Part:
    """The form's file.

    Raises:
        InvalidRequest: there is none.
    """
    found = one(given[PARTS], name) or one(given[PARTS], f"{name}[]")
    if found is None:
        raise InvalidRequest(f"'{name}' is missing.", hint="Send the file as a field of the form.", param=name)
    return found


def whole_text(given: Fields, name: str, otherwise: int, most: int) -> int:
    """A number of the form.

    Raises:
        InvalidRequest: it is none, or too large.
    """
    text = given.get(name)
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 0 < int(text) <= most):
        raise InvalidRequest(f"'{name}' is not a number from 1 to {most}.", param=name)
    return int(text)


def _is_text(part: Part) -> bool:
    return part.file_name is None and part.name != _MODEL
