"""What can be filtered by: facts of the file, what its folder's owner says of it, what the document says of itself.

Facts are named `file.…`, and nobody else may say such a name. Where the others say the same name, the owner's word
counts, because a document can be written by anybody.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import PurePosixPath

FACT = "file."
MOST_FIELDS = 64
LONGEST_TEXT = 500  # characters
MOST_MEMBERS = 100
_NAME = re.compile(r"[^\W\d][\w.-]{0,59}")


def facts_of(path: str, loader: str, modified_us: int | None = None) -> dict[str, object]:
    """The file's path, every folder above it, its type, and the day of its last change (UTC), where one is known."""
    parents = [str(each) for each in PurePosixPath(path).parents][-2::-1]  # the last one is `.`
    facts: dict[str, object] = {FACT + "path": path, FACT + "folder": parents, FACT + "type": loader}
    if modified_us is not None:
        facts[FACT + "modified"] = datetime.fromtimestamp(modified_us / 1_000_000, UTC).date().isoformat()
    return facts


def is_name(name: str) -> bool:
    """Whether somebody may say this of a document."""
    return _NAME.fullmatch(name) is not None and not name.startswith(FACT)


def said_by_document(fields: Mapping[str, object]) -> dict[str, object]:
    """What is usable of it; the rest is left out: a document's author asks for nothing here."""
    usable = ((name, plain(value)) for name, value in fields.items() if is_name(name))
    return dict([(name, value) for name, value in usable if value is not None and value != ""][:MOST_FIELDS])


def plain(value: object) -> object:
    """The value as JSON holds it: a text, a number, true or false, or a list of them; else None. Days become texts."""
    if isinstance(value, list):
        members = [plain(each) for each in value[:MOST_MEMBERS]]
        return None if any(each is None or isinstance(each, list) for each in members) else members
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else None
    return value if isinstance(value, int | float) else None
