"""What a file can break in its parser is that file's reason, within limits of memory and time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.rag.conftest import Shelf
from tests.rag.pages import pdf

from mooring.rag.contracts import Unreadable
from mooring.rag.parser import Parser

ENOUGH = 1 << 30
# A plug-in of its own distribution, as a user would install one; the child finds it on its path.
PLUG_IN = """
import os, signal, time
from mooring.rag.contracts import Loaded, Loader

def load(raw):
    what = raw.decode()
    if what == "much":
        return Loaded("x" * (4 << 30))
    if what == "long":
        while True:
            pass
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "raise":
        raise ValueError("of its own")
    if what == "print":
        print("noise")
        os.write(1, b"noise")
    return Loaded(what)

loader = Loader(suffixes=(".odd",), load=load, media_types=("text/odd",), is_isolated=True)
"""


@pytest.fixture
def parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parser]:
    (tmp_path / "odd_loader.py").write_text(PLUG_IN)
    information = tmp_path / "odd-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[mooring.loaders]\nodd = odd_loader:loader\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = Parser(memory_bytes=ENOUGH, seconds=1.0)
    yield made
    made.close()


def reason(parser: Parser, what: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        parser.load("odd", what)
    return caught.value.message


def test_it_loads_one_file_after_the_other(parser: Parser) -> None:
    assert [parser.load("odd", each).text for each in (b"one", b"two")] == ["one", "two"]


def test_a_file_that_takes_too_much_memory_is_refused(parser: Parser) -> None:
    assert f"more than {ENOUGH:,} bytes" in reason(parser, b"much")
    assert parser.load("odd", b"next").text == "next"


def test_a_file_that_takes_too_long_is_refused(parser: Parser) -> None:
    assert "longer than 1 s" in reason(parser, b"long")
    assert parser.load("odd", b"next").text == "next"


def test_a_crash_is_the_files_reason(parser: Parser) -> None:
    assert "SIGSEGV" in reason(parser, b"crash")
    assert parser.load("odd", b"next").text == "next"


def test_whatever_a_parser_raises_is_the_files_reason(parser: Parser) -> None:
    assert reason(parser, b"raise") == "its parser failed: ValueError: of its own"


def test_what_a_parser_prints_does_not_get_between(parser: Parser) -> None:
    assert parser.load("odd", b"print").text == "print"


def test_after_an_ingestion_no_parser_is_left(shelf: Shelf) -> None:
    shelf.write("a.pdf", pdf([(11.0, "pears")]))
    assert shelf.ingest().added == 1
    assert shelf.rag._parser._child is None
