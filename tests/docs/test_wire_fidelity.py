"""The page of what each wire carries says what the codecs declare."""

import importlib.util

from tests.docs.pages import ROOT


def test_the_page_is_current() -> None:
    spec = importlib.util.spec_from_file_location("wire_fidelity", ROOT / "scripts" / "wire_fidelity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "Run: python scripts/wire_fidelity.py"
