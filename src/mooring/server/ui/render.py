"""From a view's data to a page: Jinja2 with autoescape, the filters that show numbers and times, and the headers."""

import hashlib
from datetime import timedelta
from importlib.resources import files
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mooring.core.clock import to_datetime
from mooring.core.money import show_usd

from ..exchange import Reply

HEADERS: list[tuple[bytes, bytes]] = [
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    # Not no-referrer: with it browsers send `Origin: null` from our own forms.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
]
ONE_LINE = 80  # characters of JSON that need no indentation
STATIC = {"mooring.css": "text/css; charset=utf-8", "mooring.js": "text/javascript; charset=utf-8"}


def static_files() -> dict[str, bytes]:
    """Our stylesheet and our module, by name."""
    folder = files("mooring.server.ui") / "static"
    return {name: (folder / name).read_bytes() for name in STATIC}


class Renderer:
    """The templates of one process."""

    def __init__(self, version: str) -> None:
        self.static = static_files()
        mark = hashlib.sha256(b"".join(self.static.values())).hexdigest()[:12]
        self._environment = Environment(
            loader=PackageLoader("mooring.server.ui"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            usd=usd, duration=duration, size=size, count=count, clock=clock, iso=iso, ago=ago, pretty=pretty
        )
        self._environment.globals.update(version=version, mark=mark)

    def page(self, template: str, data: dict[str, Any], **extra: Any) -> str:
        """The page as text."""
        return self._environment.get_template(template).render(**data, **extra)


def html_reply(text: str, *, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> Reply:
    """A page with the headers that all pages carry."""
    return Reply(status, text.encode(), "text/html; charset=utf-8", [*HEADERS, *(headers or [])])


def redirect(path: str, headers: list[tuple[bytes, bytes]] | None = None) -> Reply:
    """303: what follows is a GET. `path` is one of ours."""
    return Reply(303, headers=[(b"location", path.encode()), *HEADERS, *(headers or [])])


# how values are shown ------------------------------------------------------------------------------------------------


def usd(amount_nanos: int) -> Markup:
    """All nine decimals; the zeros before the first digit that counts stand back."""
    text = show_usd(amount_nanos)
    kept = text.lstrip("-$0.") if amount_nanos else ""
    head = text[: len(text) - len(kept)]
    return Markup('<span class="usd"><span class="zeros">{}</span>{}</span>').format(head, kept)


def duration(length_us: int | None) -> str:
    """`18.4 ms`, `1.23 s`, `2 min 03 s`."""
    if length_us is None:
        return "–"
    if length_us < 1_000_000:
        return f"{length_us / 1000:.1f}\u202fms"
    if length_us < 60_000_000:
        return f"{length_us / 1e6:.2f}\u202fs"
    minutes, seconds = divmod(length_us // 1_000_000, 60)
    if minutes < 60:
        return f"{minutes}\u202fmin {seconds:02d}\u202fs"
    return f"{minutes // 60}\u202fh {minutes % 60:02d}\u202fmin"


def size(amount_bytes: int) -> str:
    """`64 B`, `1.3 kB`, `2.0 MB`: decimal units."""
    amount = float(amount_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f}\u202f{unit}" if unit == "B" else f"{amount:.1f}\u202f{unit}"
        amount /= 1000
    raise AssertionError(unit)


def count(number: int) -> str:
    """Groups of three, with narrow spaces."""
    return f"{number:,}".replace(",", "\u202f")


def iso(at_us: int) -> str:
    """ISO 8601 in UTC, to the microsecond."""
    return to_datetime(at_us).isoformat(timespec="microseconds").replace("+00:00", "Z")


def clock(at_us: int, now_us: int) -> str:
    """`17:58:19` today, `23 Nov 17:58:19` before; UTC."""
    at, now = to_datetime(at_us), to_datetime(now_us)
    if at.date() == now.date():
        return f"{at:%H:%M:%S}"
    return f"{at.day} {at:%b %H:%M:%S}" if now - at < timedelta(days=300) else f"{at:%Y-%m-%d %H:%M:%S}"


def ago(at_us: int, now_us: int) -> str:
    """`12 s ago`; the module keeps it true while the page stands."""
    seconds = (now_us - at_us) // 1_000_000
    if seconds < 1:
        return "just now"
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h")):
        if seconds < limit:
            return f"{seconds // unit}\u202f{name} ago"
    return f"{seconds // 86_400}\u202fd ago"


def pretty(text: str) -> str:
    """JSON indented where it is long; any other text as it is."""
    if len(text) <= ONE_LINE:
        return text
    try:
        return msgspec.json.format(text, indent=2)
    except msgspec.DecodeError:
        return text
