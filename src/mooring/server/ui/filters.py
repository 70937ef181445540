"""Lists that can be shared and turned over: filters from the query, a cursor, and where a page stands in the whole.

A page looks at so many of the newest rows that it answers at once; it says how far it looked, and goes on from there.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import urlencode

from mooring.core import ids
from mooring.core.errors import InvalidRequest
from mooring.core.registry import did_you_mean
from mooring.storage.database import Database
from mooring.storage.transaction import Tx

from .repository import MOST_SEEN, Wanted, grouping
from .repository.listing import LAST
from .repository.pages import first_id

PAGE = 50
COMMON = ("state", "user", "session", "tag", "error", "since", "until")
GROUPS = ("user", "session", "tag")  # and what a row is called: agent or model


class Question(NamedTuple):
    """How one kind of row is asked for."""

    floor: Callable[[Tx, str, bytes], bytes | None]
    rows: Callable[..., Sequence[Any]]
    count_rows: Callable[[Tx, str, Wanted, bytes, bytes], int]
    prefix: Literal["run", "call"]
    path: str
    groups: Callable[..., Sequence[grouping.GroupRow]]
    name: str  # the filter of what a row is called


class Found(NamedTuple):
    """One page of rows, and where it stands."""

    rows: Sequence[Any]
    place: dict[str, Any]


def given(query: Mapping[str, str], names: Sequence[str]) -> dict[str, str | None]:
    """The filters that a query sets; an empty one is none."""
    return {name: (query.get(name) or "").strip()[:200] or None for name in (*COMMON, *names)}


def wanted(filters: Mapping[str, str | None], *, name: str, kind: str) -> Wanted:
    """Filters as the database takes them; `name` and `kind` are what they are called in the query.

    Raises:
        InvalidRequest: a time that is none.
    """
    since, until = _moment(filters.get("since"), "since"), _moment(filters.get("until"), "until")
    return Wanted(
        state=filters.get("state"),
        name=filters.get(name),
        kind=filters.get(kind),
        user=filters.get("user"),
        session=filters.get("session"),
        tag=filters.get("tag"),
        error=filters.get("error"),
        model=filters.get("model") if name != "model" else None,
        text=filters.get("text"),
        since=first_id(since) if since is not None else b"",
        until=first_id(until) if until is not None else LAST,
    )


def find(tx: Tx, project_id: str, question: Question, want: Wanted, query: Mapping[str, str]) -> Found:
    """One page. Rows are counted as far as the page looks; `is_bounded` says that older ones were not looked at."""
    before = min(ids.read(question.prefix, query["before"]), want.until) if query.get("before") else want.until
    far = question.floor(tx, project_id, before)
    low = max(far or b"", want.since)
    is_bounded = far is not None and far >= want.since
    rows = question.rows(tx, project_id, want, before, low, PAGE + 1)
    shown = rows[:PAGE]
    newer = question.count_rows(tx, project_id, want, want.until, before) if before != want.until else 0
    left = question.count_rows(tx, project_id, want, before, low)
    cursor = shown[-1].id if len(rows) > PAGE else far if is_bounded else None
    return Found(
        shown,
        {
            "first": newer + 1 if shown else 0,
            "last": newer + len(shown),
            "total": newer + left,
            "is_bounded": is_bounded,
            "seen": MOST_SEEN,
            "next": ids.show(question.prefix, cursor) if cursor else None,
        },
    )


async def group(
    database: Database, project_id: str, question: Question, want: Wanted, query: Mapping[str, str]
) -> dict[str, Any] | None:
    """With `?by=`, what the filters leave, summed up by that; each line leads to the list of its own.

    Raises:
        InvalidRequest: there is no such grouping.
    """
    by = query.get("by")
    if not by:
        return None
    names = (*GROUPS, question.name)
    if by not in names:
        raise InvalidRequest(f"Nothing is grouped by '{by[:40]}'. {did_you_mean(by, names)}", param="by")
    if want.text is not None:
        raise InvalidRequest("What holds these words cannot be grouped.", hint="Take the words out.", param="text")

    def read(tx: Tx) -> tuple[Sequence[grouping.GroupRow], bool]:
        far = question.floor(tx, project_id, want.until)
        column = cast(grouping.By, "name" if by == question.name else by)
        low = max(far or b"", want.since)
        return question.groups(tx, project_id, want, want.until, low, column), far is not None and far >= want.since

    rows, is_bounded = await database.read_async(read)
    kept = {name: value for name, value in query.items() if value and name not in ("by", "before")}
    return {
        "by": by,
        "is_bounded": is_bounded,
        "seen": MOST_SEEN,
        "is_cut": len(rows) >= grouping.MOST_GROUPS,
        "rows": [
            {**row._asdict(), "href": f"{question.path}?{urlencode({**kept, by: row.value})}" if row.value else None}
            for row in rows
        ],
    }


async def turn(
    database: Database, project_id: str, question: Question, want: Wanted, query: Mapping[str, str]
) -> Found:
    """`find` on a reader, with the address of the page behind it as `older`."""
    found = await database.read_async(partial(find, project_id=project_id, question=question, want=want, query=query))
    kept = {name: value for name, value in query.items() if value and name != "before"}
    cursor = found.place["next"]
    older = f"{question.path}?{urlencode({**kept, 'before': cursor})}" if cursor else None
    return Found(found.rows, {**found.place, "older": older, "start": f"{question.path}?{urlencode(kept)}"})


def _moment(text: str | None, name: str) -> int | None:
    """`2026-11-24`, `2026-11-24T12:30` (UTC) or ISO 8601 with its zone, as microseconds."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(f"'{text[:40]}' is no time.", hint="Like 2026-11-24T12:30, in UTC.", param=name) from error
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1_000_000)
