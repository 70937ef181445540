"""Fixed windows of budgets, in UTC, and how an attempt's row names those in which it reserved."""

import functools
import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple, assert_never

Period = Literal["hour", "day", "week", "month", "total"]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
WEEK_US = 7 * DAY_US
FIRST_MONDAY_US = 4 * DAY_US  # 1970-01-05
MOST_WINDOWS = 256  # sets of budgets whose windows are remembered

Window = tuple[bytes, int]  # a budget's id and when its window began

_RESERVATION = struct.Struct(">16sq")


class Windows(NamedTuple):
    """Windows in the order of their budgets' ids, and as the row of an attempt holds them."""

    rows: tuple[Window, ...]
    packed: bytes


NO_WINDOWS = Windows((), b"")


def windows_at(periods: Mapping[bytes, "Period"], budget_ids: Sequence[bytes], at_us: int) -> Windows:
    """The windows of these budgets at a moment."""
    rows = tuple((one, starts_at_us(periods.get(one, "total"), at_us)) for one in sorted(set(budget_ids)))
    return Windows(rows, b"".join(_RESERVATION.pack(budget_id, start) for budget_id, start in rows))


def reservations_of(packed: bytes | None) -> Iterator[Window]:
    """The windows in which an attempt reserved."""
    return _RESERVATION.iter_unpack(packed or b"")


def starts_at_us(period: Period, at_us: int) -> int:
    """When the window of this kind began that holds the moment; 0 for `total`."""
    match period:
        case "hour":
            return at_us - at_us % HOUR_US
        case "day":
            return at_us - at_us % DAY_US
        case "week":
            return at_us - (at_us - FIRST_MONDAY_US) % WEEK_US
        case "month":
            return _month_starts_at_us(at_us // HOUR_US)
        case "total":
            return 0
        case _:
            assert_never(period)


@functools.lru_cache(maxsize=64)
def _month_starts_at_us(hour: int) -> int:
    """The month of an hour since 1970: asked for with each attempt, and the same for hundreds of hours."""
    moment = datetime.fromtimestamp(hour * 3600, UTC)
    return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * 1_000_000
