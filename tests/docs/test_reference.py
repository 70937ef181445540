"""The reference pages say what the code says."""

import importlib.util
import re
from types import ModuleType

from tests.docs.pages import ROOT

REFERENCE = ROOT / "docs" / "reference"
SOURCE = ROOT / "src" / "mooring"
# From the home's own processes only.
INTERNAL_HEADERS = {"x-mooring-on-behalf", "x-mooring-project", "x-mooring-protocol"}


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_made_from_the_code_are_current() -> None:
    stale = [name for name, text in script().pages().items() if (REFERENCE / name).read_text(encoding="utf-8") != text]
    assert not stale, f"{', '.join(stale)} say something else than the code. Run: python scripts/reference.py"


def test_every_route_is_on_the_http_page_with_its_scope_and_nothing_else() -> None:
    pattern = re.compile(r'Route\("([A-Z]+)", "([^"]+)", "([a-z]+)"')
    served = {found for file in (SOURCE / "server").glob("*.py") for found in pattern.findall(file.read_text())}
    page = (REFERENCE / "http.md").read_text(encoding="utf-8")
    written = set(re.findall(r"^\| `([A-Z]+) ([^`]+)` \| ([a-z]+) \|", page, re.MULTILINE))
    assert written == served


def test_every_header_of_ours_is_on_the_headers_page_and_nothing_else() -> None:
    used = set()
    for room in ("gateway", "server", "client", "agents"):
        for file in (SOURCE / room).rglob("*.py"):
            used |= {
                name.lower() for name in re.findall(r"[\"'](x-mooring-[a-z-]+)[\"']", file.read_text(), re.IGNORECASE)
            }
    written = set(re.findall(r"`(x-mooring-[a-z-]+)", (REFERENCE / "headers.md").read_text(encoding="utf-8")))
    assert written == used - INTERNAL_HEADERS
