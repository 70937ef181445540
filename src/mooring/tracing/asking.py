"""What a page, a request or a command asks for, as data: which traces, since when, by what."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import get_args

from mooring.core import ids
from mooring.core.errors import InvalidRequest
from mooring.core.registry import did_you_mean

from .records import Filter, GroupBy

_AGO = re.compile(r"(\d{1,6})\s*(m|h|d|w)")
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
GROUPS: tuple[GroupBy, ...] = get_args(GroupBy)
STATES = ("completed", "failed", "blocked", "uncertain", "running", "cancelled", "parked", "waiting", "queued")


def time_of(text: str, now_us: int, *, param: str) -> int:
    """A moment: `30m`, `24h`, `7d`, `2w` ago, or an ISO date or time (UTC if it names no zone).

    Raises:
        InvalidRequest: it is none of these.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return now_us - int(ago[1]) * _SECONDS[ago[2]] * 1_000_000
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidRequest(
            f"'{text[:40]}' is no time.", hint="Write 30m, 24h, 7d, or a date such as 2026-11-24.", param=param
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1e6)


def filter_of(asked: Mapping[str, str | None], now_us: int) -> Filter:
    """The conditions among what was asked; what is empty is none.

    Raises:
        InvalidRequest: a time or a state that there is not.
    """
    given = {name: value for name, value in asked.items() if value}
    state = given.get("state")
    if state is not None and state not in STATES:
        raise InvalidRequest(f"There is no state '{state[:40]}'. {did_you_mean(state, STATES)}", param="state")
    since, until = given.get("since"), given.get("until")
    return Filter(
        user=given.get("user"),
        session=given.get("session"),
        tag=given.get("tag"),
        model=given.get("model"),
        state=state,
        kind=given.get("kind"),
        text=given.get("text"),
        since_us=None if since is None else time_of(since, now_us, param="since"),
        until_us=None if until is None else time_of(until, now_us, param="until"),
    )


def group_of(text: str) -> GroupBy:
    """By what is summed.

    Raises:
        InvalidRequest: there is no such grouping.
    """
    for known in GROUPS:
        if text == known:
            return known
    raise InvalidRequest(f"Nothing is grouped by '{text[:40]}'. {did_you_mean(text, GROUPS)}", param="group_by")


def subject_of(text: str) -> tuple[bytes | None, bytes | None, bytes | None]:
    """A run, a call or a trace by its id: of the three, one.

    Raises:
        InvalidRequest: it is no id of any of these forms.
    """
    if text.startswith("run_"):
        return ids.read("run", text), None, None
    if text.startswith("call_"):
        return None, ids.read("call", text), None
    if re.fullmatch(r"[0-9a-fA-F]{32}", text):
        return None, None, bytes.fromhex(text)
    raise InvalidRequest(
        f"'{text[:60]}' is no run_…, no call_… and no trace id of 32 hexadecimal digits.",
        hint="List what there is: mooring trace list",
        param="id",
    )
