"""Fixed windows of budgets, in UTC."""

import functools
from datetime import UTC, datetime
from typing import Literal, assert_never

Period = Literal["hour", "day", "week", "month", "total"]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
WEEK_US = 7 * DAY_US
FIRST_MONDAY_US = 4 * DAY_US  # 1970-01-05


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
