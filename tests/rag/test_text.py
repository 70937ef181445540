"""Plain text is stored as it was decoded."""

import pytest

from mooring.rag.contracts import Unreadable, loaders
from mooring.rag.testing import LoaderConformance


class TestText(LoaderConformance):
    loader = loaders.get("text")


def test_utf_16_with_its_mark_is_read() -> None:
    assert loaders.get("text").load("Grüße".encode("utf-16")).text == "Grüße"


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(Unreadable, match="save the file as UTF-8"):
        loaders.get("text").load("Grüße".encode("latin-1"))
