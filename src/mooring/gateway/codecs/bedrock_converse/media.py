"""Images, sounds and documents of the Converse wire: base64 in the body, or where they lie in S3."""

import mimetypes
import re
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from mooring.core.messages import MediaPart

_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_TYPES = {name: media_type for media_type, name in _DOCUMENTS.items()}
_UNNAMED = re.compile(r"document(?: \d+)?")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9\-()\[\] ]+")
_KINDS: dict[str, Literal["image", "audio", "file"]] = {"image": "image", "audio": "audio", "document": "file"}


class _Place(msgspec.Struct):
    uri: str


class _Source(msgspec.Struct, rename="camel"):
    bytes: str | None = None
    s3_location: _Place | None = msgspec.field(default=None, name="s3Location")


class Medium(msgspec.Struct):
    """The inside of an `image`, `audio` or `document` block."""

    source: _Source
    format: str | None = None
    name: str | None = None


def media_of(kind: str, medium: Medium) -> MediaPart:
    """The canonical part; a document's name is its own only where somebody gave it one."""
    place = medium.source.s3_location
    media_type = None
    if medium.format is not None:
        media_type = _TYPES.get(medium.format) if kind == "document" else f"{kind}/{medium.format}"
    name = medium.name if medium.name is not None and not _UNNAMED.fullmatch(medium.name) else None
    return MediaPart(
        _KINDS[kind],
        url=place.uri if place is not None else None,
        data=medium.source.bytes,
        media_type=media_type,
        name=name,
    )


def wire_media(part: MediaPart, number: int) -> dict[str, Any]:
    """The block; documents need names that differ, so the `number` of one without a name is its name."""
    source: dict[str, Any] = {"bytes": part.data} if part.data is not None else {"s3Location": {"uri": part.url}}
    if part.kind != "file":
        return {part.kind: {"format": _format(part), "source": source}}
    name = " ".join(_NOT_IN_NAMES.sub(" ", part.name or "").split())[:200]
    document = {"name": name or ("document" if number == 1 else f"document {number}"), "source": source}
    kind = _DOCUMENTS.get(_type_of(part))
    return {"document": document | ({"format": kind} if kind is not None else {})}


def _format(part: MediaPart) -> str:
    """What stands after the slash, as this wire writes it; one that it does not know is refused there, by name."""
    found = _type_of(part).partition("/")[2].removeprefix("x-")
    return {"jpg": "jpeg", "": "png" if part.kind == "image" else "wav"}.get(found, found)


def _type_of(part: MediaPart) -> str:
    if part.media_type:
        return part.media_type.partition(";")[0].strip().lower()
    path = part.name if part.url is None else urlsplit(part.url).path
    return mimetypes.guess_type(path or "")[0] or ""
