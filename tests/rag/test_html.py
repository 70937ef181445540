"""HTML: what a reader would see, in order."""

import pytest
from tests.rag.conftest import Shelf

from mooring.rag.contracts import Unreadable
from mooring.rag.loaders.html import load, loader
from mooring.rag.testing import DocumentLoaderConformance

PAGE = """<!doctype html><html><head><title>Shop</title><style>p{color:red}</style></head><body>
<nav><a href="/">Home</a> <a href="/help">Help</a></nav>
<h1>Refund <em>policy</em></h1><p>Refunds are paid   within <b>five</b>
days.</p><script>alert("never seen")</script><!-- nor this -->
<h2>Table</h2><table><tr><th>Plan</th><th>Price</th></tr><tr><td>Small</td><td>$5</td></tr></table>
<ul><li>one</li><li>two<br>lines</li></ul><pre>a  b
  c</pre><p hidden>secret</p><template><p>no</p></template></body></html>"""


class TestConformance(DocumentLoaderConformance):
    loader = loader
    samples = (PAGE.encode(), b"<p>one", b"text only", b"<h1></h1><h2>a</h2>", "<p>Ünï 🙂</p>".encode())
    broken = (b"a\0b", "Grüße".encode("latin-1"))


def test_text_is_in_order_without_scripts_styles_and_hidden_parts() -> None:
    assert load(PAGE.encode()).text == (
        "Home Help\n\nRefund policy\n\nRefunds are paid within five days.\n\nTable\n\n"
        "Plan | Price\nSmall | $5\n\none\ntwo\nlines\n\na  b\n  c"
    )


def test_headings_have_their_levels_and_places() -> None:
    loaded = load(PAGE.encode())
    assert [(one.level, one.title, loaded.text[one.start : one.end]) for one in loaded.headings] == [
        (1, "Refund policy", "Refund policy"),
        (2, "Table", "Table"),
    ]


def test_tables_and_preformatted_text_stay_whole() -> None:
    loaded = load(PAGE.encode())
    assert [loaded.text[start:end] for start, end in loaded.atoms] == ["Plan | Price\nSmall | $5", "a  b\n  c"]


def test_a_page_that_declares_its_encoding_is_read_in_it() -> None:
    page = "<meta charset=iso-8859-1><p>Grüße</p>".encode("latin-1")
    assert load(page).text == "Grüße"
    with pytest.raises(Unreadable, match="not what it declares"):
        load(b"<meta charset=shift_jis><p>\xff\xff</p>")


def test_a_page_of_any_depth_is_read() -> None:
    assert load(b"<div>" * 20_000 + b"deep").text == "deep"


def test_a_page_that_only_scripts_fill_is_listed_with_its_reason(shelf: Shelf) -> None:
    shelf.write("app.html", "<div id=root></div><script>render()</script>")
    assert "may need scripts" in shelf.ingest().unreadable["app.html"]
