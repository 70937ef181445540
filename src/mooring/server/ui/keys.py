"""Keys and budgets: who may call, and how much may be spent; through the doors of the keys and of the ledger."""

from typing import Any, NamedTuple, cast, get_args

from mooring.core import ids
from mooring.core.errors import InvalidRequest
from mooring.core.money import amount
from mooring.gateway.keys import LOGIN, SCOPES, Caller, KeyInfo
from mooring.journal.ledger import BudgetState, Scope
from mooring.journal.windows import Period
from mooring.wiring import Server

from ..exchange import Exchange
from .session import form, form_lists

BUDGET_SCOPES: tuple[str, ...] = get_args(Scope)
WINDOWS: tuple[str, ...] = get_args(Period)
SESSION = "browser session"
MOST_DAYS = 3650
OVERLAP_HOURS = ("0", "1", "24", "168")
WHOLE = 1000  # the units of a bar


class Show(NamedTuple):
    """A page in the place of a redirect: what it shows must not stand in an address, and is shown once."""

    template: str
    section: str
    data: dict[str, Any]


async def view(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    return await _page(rooms, caller)


async def create(rooms: Server, exchange: Exchange, caller: Caller) -> Show:
    """A new key, shown once."""
    fields = await form_lists(exchange)
    days = (fields.get("expires_days") or [""])[0].strip()
    if days and not (days.isascii() and days.isdigit() and 0 < int(days) <= MOST_DAYS):
        raise InvalidRequest(f"'{days[:20]}' is no number of days.", hint=f"1 to {MOST_DAYS}, or nothing for no end.")
    secret = await rooms.keys.create(
        caller.project_id,
        name=(fields.get("name") or [""])[0].strip()[:200],
        scopes=[one for one in SCOPES if one in fields.get("scope", [])],
        lifetime_seconds=int(days) * 86_400 if days else None,
    )
    return Show("keys.html", "keys", {**await _page(rooms, caller), "secret": secret, "is_rotated": False})


async def rotate(rooms: Server, exchange: Exchange, caller: Caller) -> Show:
    """A new key in the place of one that goes on for the overlap."""
    hours = (await form(exchange)).get("overlap_hours", "24")
    if hours not in OVERLAP_HOURS:
        raise InvalidRequest(f"'{hours[:20]}' is no overlap.", hint=f"Hours: {', '.join(OVERLAP_HOURS)}.")
    secret = await rooms.keys.rotate(caller.project_id, exchange.params["key_id"], overlap_seconds=int(hours) * 3600)
    return Show("keys.html", "keys", {**await _page(rooms, caller), "secret": secret, "is_rotated": True})


async def revoke(rooms: Server, exchange: Exchange, caller: Caller) -> str:
    await rooms.keys.revoke(caller.project_id, exchange.params["key_id"])
    return "/ui/keys"


async def put_budget(rooms: Server, exchange: Exchange, caller: Caller) -> str:
    """A new budget, or another cap of one that is there."""
    fields = await form(exchange)
    scope, window = fields.get("scope", ""), fields.get("window", "")
    subject = fields.get("subject", "").strip()
    if scope not in BUDGET_SCOPES or window not in WINDOWS:
        raise InvalidRequest("A budget needs a scope and a window.", hint="Choose both.")
    if (scope == "project") != (not subject):
        raise InvalidRequest(
            "A budget of the project names nobody; any other says whom it is for.",
            hint="Leave the name empty for the project, and fill it in for all else.",
        )
    try:
        cap = amount(fields.get("cap_usd", "").strip().lstrip("$"))
    except ValueError as error:
        raise InvalidRequest(f"The cap is no amount: {error}", hint="Dollars, such as 25 or 0.50.") from error
    await rooms.journal.put_budget(
        caller.project_id, scope=cast(Scope, scope), subject=subject[:200], window=cast(Period, window), cap_nanos=cap
    )
    return "/ui/keys"


async def remove_budget(rooms: Server, exchange: Exchange, caller: Caller) -> str:
    """From the next call on it holds no more."""
    fields = await form(exchange)
    scope, window = fields.get("scope", ""), fields.get("window", "")
    if scope not in BUDGET_SCOPES or window not in WINDOWS:
        raise InvalidRequest("A budget has a scope and a window.", hint="Name both.")
    await rooms.journal.remove_budget(
        caller.project_id, scope=cast(Scope, scope), subject=fields.get("subject", ""), window=cast(Period, window)
    )
    return "/ui/keys"


async def _page(rooms: Server, caller: Caller) -> dict[str, Any]:
    now_us = rooms.clock.now_us()
    keys = [key for key in await rooms.keys.list(caller.project_id) if LOGIN not in key.scopes]
    shown = [_key(key, caller, now_us) for key in keys]
    own = [one for one in shown if one["name"] != SESSION]
    active = [one for one in own if one["state"] == "active"]
    budgets = [_budget(one) for one in await rooms.journal.budgets(caller.project_id)]
    return {
        "keys": active,
        "ended": [one for one in own if one["state"] != "active"][:20],
        "sessions": [one for one in shown if one["name"] == SESSION and one["state"] == "active"],
        "budgets": sorted(budgets, key=lambda one: -one["share"]),
        "removed": [_budget(one) for one in await rooms.journal.removed_budgets(caller.project_id)],
        "scopes": SCOPES,
        "budget_scopes": BUDGET_SCOPES,
        "windows": WINDOWS,
        "overlaps": OVERLAP_HOURS,
        "may_change": "admin" in caller.scopes,
        "secret": None,
        "is_rotated": False,
    }


def _key(key: KeyInfo, caller: Caller, now_us: int) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "state": key.state_at(now_us),
        "created_at_us": key.created_at_us,
        "expires_at_us": key.expires_at_us,
        "revoked_at_us": key.revoked_at_us,
        "is_this": caller.api_key_id is not None and key.id == ids.show("key", caller.api_key_id),
    }


def _budget(budget: BudgetState) -> dict[str, Any]:
    """`settled` and `held` are thousandths of the cap, for the bar."""
    cap = budget.cap_nanos
    used = budget.settled_nanos + budget.held_nanos
    settled = min(WHOLE * budget.settled_nanos // cap, WHOLE) if cap else WHOLE
    held = min(WHOLE * used // cap, WHOLE) - settled if cap else 0
    return {
        "id": ids.show("bud", budget.id),
        "scope": budget.scope,
        "subject": budget.subject,
        "window": budget.window,
        "starts_at_us": budget.starts_at_us,
        "removed_at_us": budget.removed_at_us,
        "cap_nanos": cap,
        "settled_nanos": budget.settled_nanos,
        "held_nanos": budget.held_nanos,
        "share": used / cap if cap else 1.0,
        "settled": settled,
        "held": held,
    }
