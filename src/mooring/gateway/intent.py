"""What an attempt will send, the most that it can cost, and who must bear it; once it is over, what it did cost."""

import functools
from typing import NamedTuple

from mooring.core import ids
from mooring.core.errors import BudgetExceeded
from mooring.core.money import Price
from mooring.core.text import digest
from mooring.core.usage import Usage
from mooring.journal.base import Applying
from mooring.journal.records import REQUEST_HASH_BYTES, AttemptIntent

from . import size, structured
from .call import Call
from .codecs import WITH_OUTPUT, Codec
from .marks import marked
from .plan import Step
from .prices import PriceSheet
from .routing import unpriced
from .translation import outgoing

COUNTING = PriceSheet(Price(source="free"))  # no vendor charges for counting tokens
# A proxy's own words about a provider that may have worked, and charged, all the same.
_MAY_BILL = frozenset({502, 504, 524})
_shown_key = functools.lru_cache(maxsize=1024)(functools.partial(ids.show, "key"))


class Intended(NamedTuple):
    """The intent that is written first, the body that is sent then, and the prices that both go by."""

    intent: AttemptIntent
    body: bytes
    sheet: PriceSheet | None

    def cost_nanos(self, usage: Usage | None, *, status: int | None, is_sent: bool) -> int | None:
        """What it cost; None where nobody can know yet, and the maximum stays held."""
        sheet = self.sheet
        if usage is not None:
            return None if sheet is None else sheet.cost_nanos(usage)
        if not is_sent:
            return 0
        is_refusal = status is not None and not 200 <= status < 300 and status not in _MAY_BILL
        is_free = sheet is not None and self.intent.held_nanos == 0 and not sheet.base.unit_picos
        return 0 if is_refusal or is_free else None


async def intended(call: Call, step: Step, codec: Codec, attempt_id: bytes) -> Intended:
    """The body to send, the most that it can cost, and the budgets that must bear it.

    Raises:
        BudgetExceeded: a budget applies, and nothing bounds the cost.
        UnknownPrice: a budget applies, or the configuration wants a price, and there is none.
    """
    rooms, target = call.rooms, step.target
    vendor = target.vendor
    asked = structured.shaped(call, target, is_repair=step.reason == "repair")
    budgets = await _budgets(call)
    is_capped = bool(budgets.ids) or (asked.run is not None)
    cap = asked.request.max_output_tokens
    has_output = codec.kind in WITH_OUTPUT
    cap_field = vendor.cap_field if codec.kind == "chat" and cap is None and (is_capped or codec.needs_cap) else None
    if cap_field is not None:
        cap = asked.plan.output_cap_tokens
    fields, call.dropped = outgoing(asked, codec)
    marked(asked, codec, fields)
    codec.prepare(
        fields, model=target.model, is_stream=asked.request.is_stream, cap_field=cap_field, cap_tokens=cap or 0
    )
    if codec.name == vendor.wire:
        vendor.patch(fields)
    body = codec.body_of(fields)
    bound = size.bound(asked.request, len(body), vendor, cap_tokens=cap, has_output=has_output)
    if budgets.ids and bound.unbounded and codec.kind != "count":
        raise BudgetExceeded(
            f"A budget applies, and {bound.unbounded}.", hint="Leave it out, or call without a budget."
        )
    if codec.kind == "count":
        sheet: PriceSheet | None = COUNTING
    else:
        variant, now_us = codec.variant_of(asked.request), rooms.clock.now_us()
        sheet = rooms.prices.find(vendor, target.model, now_us, kind=codec.kind, variant=variant)
        if sheet is not None and "cache_ttl" in asked.request.extra:
            sheet = sheet.for_an_hour()
    if sheet is None and (budgets.ids or rooms.config.unknown_price == "refuse"):
        raise unpriced(target, is_path=codec.kind == "passthrough")
    price, most_nanos = Price(source="unknown"), 0
    if sheet is not None:
        price = sheet.at(bound.input_tokens)
        units = sheet.most_units_of(codec.most_units(asked.request), is_bounded=bool(budgets.ids))
        most_nanos = sheet.most_nanos(bound.input_tokens, bound.output_tokens, units)
    intent = AttemptIntent(
        id=attempt_id,
        call_id=call.row.id,
        project_id=asked.project_id,
        number=call.number,
        target=target.name,
        request_hash=digest(body, REQUEST_HASH_BYTES),
        held_nanos=most_nanos,
        budget_ids=budgets.ids,
        newest_budget=budgets.newest,
        price=price,
        reason=step.reason,
        run=asked.run,
    )
    return Intended(intent, body, sheet)


async def _budgets(call: Call) -> Applying:
    row = call.row
    return await call.rooms.journal.applying(
        row.project_id,
        key=_shown_key(row.api_key_id) if row.api_key_id else None,
        user=row.user,
        model=row.name,
        tags=row.tags,
        run=ids.show("run", row.run.run_id) if row.run else None,
    )
