"""A document that comes by its bytes: what a caller says of it, and which loader reads it."""

from collections.abc import Mapping
from pathlib import PurePosixPath

import msgspec

from mooring.core.errors import InvalidRequest, TooLarge

from .contracts import Loader, loaders
from .metadata import FACT

UPLOADS = "upload"  # the source of all documents that came so; a folder's source is an absolute path
MOST_METADATA_BYTES = 16_384
LONGEST_PATH = 500  # characters


class Upload(msgspec.Struct, frozen=True):
    """`path` is its name within the collection; the media type or else the path's suffix names the loader."""

    path: str
    raw: bytes
    media_type: str | None = None
    metadata: Mapping[str, object] = {}


def check_upload(upload: Upload, *, max_bytes: int) -> str:
    """The name of the loader.

    Raises:
        InvalidRequest: a path that is none, metadata that are too large, or a type that no loader reads.
        TooLarge: over the limit.
    """
    parts = PurePosixPath(upload.path).parts
    if not parts or len(upload.path) > LONGEST_PATH or upload.path.startswith("/") or ".." in parts:
        raise InvalidRequest(
            f"'{upload.path[:60]}' is no path for a document.",
            hint="Send a name such as handbook/refunds.md, without '..' and not beginning with '/'.",
            param="path",
        )
    if not upload.path.isprintable():
        raise InvalidRequest("The path holds characters that do not print.", hint="Send another name.", param="path")
    if len(upload.raw) > max_bytes:
        raise TooLarge(
            f"The document is larger than {max_bytes:,} bytes.", hint="Split it, or raise [rag] max_file_bytes."
        )
    for name in upload.metadata:
        if name.startswith(FACT):
            raise InvalidRequest(
                f"'{name[:60]}' is a fact of the file, which nobody says.", hint="Send another name.", param="metadata"
            )
    if len(msgspec.json.encode(upload.metadata)) > MOST_METADATA_BYTES:
        raise InvalidRequest(f"The metadata are larger than {MOST_METADATA_BYTES:,} bytes.", param="metadata")
    return loader_for(upload.media_type, upload.path)


def loader_for(media_type: str | None, path: str) -> str:
    """By media type where it says something, else by suffix.

    Raises:
        InvalidRequest: no loader reads it; the message lists what is read.
    """
    registered: dict[str, Loader] = {name: loaders.get(name) for name in loaders.names()}
    kind = (media_type or "").partition(";")[0].strip().lower()
    suffix = PurePosixPath(path).suffix.lower()
    for name, loader in registered.items():
        if kind in loader.media_types and not (kind == "text/plain" and suffix):
            return name
    for name, loader in registered.items():
        if suffix in loader.suffixes:
            return name
    for name, loader in registered.items():
        if kind in loader.media_types:
            return name
    known = sorted({each for loader in registered.values() for each in loader.media_types})
    raise InvalidRequest(
        f"No loader reads '{kind or suffix or 'this'}'.", hint=f"Send one of: {', '.join(known)}.", param="content-type"
    )
