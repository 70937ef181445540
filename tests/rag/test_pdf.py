"""PDF: text with pages and headings; what has no text is said, never passed over."""

import pytest
from tests.rag.conftest import Shelf
from tests.rag.pages import IMAGE, pdf

from mooring.rag.contracts import Unreadable
from mooring.rag.loaders.pdf import load, loader
from mooring.rag.testing import DocumentLoaderConformance

BODY = [(11.0, f"Line {number} of the body text goes on for a while.") for number in range(6)]
HANDBOOK = pdf(
    [(24.0, "Handbook"), (16.0, "Refunds"), *BODY, (11.0, "Refunds are paid within five days.")],
    [(16.0, "Shipping"), *BODY, (11.0, "Parcels leave on Tuesdays.")],
)


class TestConformance(DocumentLoaderConformance):
    loader = loader
    samples = (HANDBOOK, pdf([(11.0, "one")]), pdf([(30.0, "A"), (11.0, "b")], IMAGE, [(11.0, "c")]))
    broken = (b"", b"%PDF-1.4", b"no pdf", HANDBOOK[:200], b"\x00" * 5000)


def test_lines_that_are_larger_than_the_body_are_headings_by_rank() -> None:
    loaded = load(HANDBOOK)
    assert [(heading.level, heading.title) for heading in loaded.headings] == [
        (1, "Handbook"),
        (2, "Refunds"),
        (2, "Shipping"),
    ]
    for heading in loaded.headings:
        assert loaded.text[heading.start : heading.end].strip() == heading.title


def test_each_page_begins_where_it_says() -> None:
    loaded = load(HANDBOOK)
    assert len(loaded.page_starts) == 2
    assert loaded.text[loaded.page_starts[1] :].startswith("Shipping")


def test_a_page_without_text_is_noted_with_its_number() -> None:
    (note,) = load(pdf([(11.0, "one")], IMAGE, IMAGE)).notes
    assert "(2, 3)" in note
    assert "OCR" in note


def test_a_document_of_images_is_refused_with_what_to_do() -> None:
    with pytest.raises(Unreadable, match=r"none of its 2 pages holds text.*OCR"):
        load(pdf(IMAGE, IMAGE))
    with pytest.raises(Unreadable, match=r"its only page holds no text.*OCR"):
        load(pdf(IMAGE))


def test_hits_and_citations_name_page_and_section(shelf: Shelf) -> None:
    shelf.write("handbook.pdf", HANDBOOK)
    shelf.ingest()
    (hit, *_) = shelf.search("parcels Tuesdays")
    assert (hit.page, hit.section) == (2, "Handbook > Shipping")


def test_a_scan_is_listed_with_its_reason_and_notes_stay(shelf: Shelf) -> None:
    shelf.write("scan.pdf", pdf(IMAGE))
    shelf.write("half.pdf", pdf([(11.0, "pears")], IMAGE))
    report = shelf.ingest()
    assert "OCR" in report.unreadable["scan.pdf"]
    assert "OCR" in report.notes["half.pdf"][0]
    assert "OCR" in shelf.ingest().notes["half.pdf"][0]
