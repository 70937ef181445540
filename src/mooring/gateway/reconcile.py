"""A provider's own export, read into what the journal settles with.

The columns are found by their names: OpenAI's and Anthropic's exports and the simulated provider's meter call them
differently.
"""

import csv
import io
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import msgspec

from mooring.core.errors import InvalidRequest
from mooring.core.money import nanos
from mooring.core.usage import Usage
from mooring.journal.ledger import MeteredUsage

_ID = ("attempt", "request_id", "x-request-id", "client_request_id", "id")
_TOKENS = {
    "input_tokens": ("input_tokens", "prompt_tokens", "n_context_tokens_total"),
    "output_tokens": ("output_tokens", "completion_tokens", "n_generated_tokens_total"),
    "cached_input_tokens": ("cached_input_tokens", "input_cached_tokens", "cache_read_input_tokens"),
    "cache_write_tokens": ("cache_write_tokens", "cache_creation_input_tokens"),
    "reasoning_tokens": ("reasoning_tokens",),
    "units": ("units",),
}


def parse_csv(text: str) -> dict[str, MeteredUsage]:
    """Usage and cost by attempt id, and by request id where the attempt is not named.

    Raises:
        InvalidRequest: no column names the request, or a figure is not a number; the message names the line.
    """
    reader = csv.DictReader(io.StringIO(text))
    columns = reader.fieldnames or []
    named = [name for name in _ID if name in columns]
    if not named:
        raise InvalidRequest(
            f"The export has none of the columns {', '.join(_ID)}.", hint="Export one line per request, with its id."
        )
    found: dict[str, MeteredUsage] = {}
    for row in reader:
        metered = _metered(row, reader.line_num)
        name = next((row[column] for column in named if row[column]), None)
        if name is not None:
            found[name] = metered
    return found


def _metered(row: Mapping[str, str | None], line: int) -> MeteredUsage:
    tokens = {
        field: int(_number(row[name], line)) for field, names in _TOKENS.items() for name in names if row.get(name)
    }
    if row.get("cost_nanos"):
        cost: int | None = int(_number(row["cost_nanos"], line))
    else:
        cost = nanos(_number(row["cost_usd"], line)) if row.get("cost_usd") else None
    return MeteredUsage(cost_nanos=cost, usage=msgspec.convert(tokens, Usage))


def _number(text: str | None, line: int) -> Decimal:
    try:
        number = Decimal(text or "0")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise InvalidRequest(f"Line {line} of the export holds '{text}', which is not a number.")
    return number
