"""The conformance suites: subclass one, say which plug-in it is, and the tests are yours."""

from collections.abc import Sequence

from .contracts import BYTES_PER_TOKEN, Heading, Loaded, Loader, Split, Unreadable

SAMPLES = (
    "",
    " \n\t\r\n ",
    "One line.",
    "Erste Zeile.\r\n\r\nZweite Zeile — mit Strich.\r\n",
    "a\rb\rc",
    "日本語の文章です。次の文です。" * 50,
    "🙂 👩‍👩‍👧 é e\u0301 \u2028 \u0085 \x0b \x0c end",
    "word " * 3000,
    "x" * 9000,
    "\n".join(f"- item {number}" for number in range(500)),
    "# A\n\n## B\n\n### C\n\ntext\n\n# D\n",
)


class LoaderConformance:
    """Set `loader`."""

    loader: Loader

    def test_suffixes_are_lower_case_and_begin_with_a_dot(self) -> None:
        assert self.loader.suffixes
        assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in self.loader.suffixes)

    def test_nothing_of_a_text_is_changed_joined_or_dropped(self) -> None:
        for sample in SAMPLES:
            assert self.loader.load(sample.encode()).text == sample

    def test_headings_and_atoms_are_in_order_and_within_the_text(self) -> None:
        for sample in SAMPLES:
            loaded = self.loader.load(sample.encode())
            ends = [0]
            for heading in loaded.headings:
                assert ends[-1] <= heading.start < heading.end <= len(sample)
                ends.append(heading.end)
            ends = [0]
            for start, end in loaded.atoms:
                assert ends[-1] <= start < end <= len(sample)
                ends.append(end)

    def test_a_byte_order_mark_is_no_part_of_the_text(self) -> None:
        assert self.loader.load("\ufeffText".encode()).text == "Text"

    def test_bytes_that_are_no_text_are_refused_with_their_place(self) -> None:
        for raw, place in ((b"good \xff bad", "byte 5"), (b"nul \x00", "character 4")):
            assert place in refusal(self.loader, raw)


class DocumentLoaderConformance:
    """For formats that are no plain text. Set `loader`, `samples` with text, `broken` bytes that are to be refused."""

    loader: Loader
    samples: Sequence[bytes] = ()
    broken: Sequence[bytes] = ()

    def test_it_is_isolated_and_says_what_it_reads(self) -> None:
        assert self.loader.is_isolated
        assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in self.loader.suffixes)
        assert self.loader.suffixes
        assert self.loader.media_types

    def test_all_positions_are_in_order_and_within_the_text(self) -> None:
        for sample in self.samples:
            loaded = self.loader.load(sample)
            assert loaded.text.strip()
            for spans in ([(one.start, one.end) for one in loaded.headings], loaded.atoms):
                ends = [0]
                for start, end in spans:
                    assert ends[-1] <= start < end <= len(loaded.text)
                    ends.append(end)
            assert list(loaded.page_starts) == sorted(loaded.page_starts)

    def test_the_text_is_what_a_database_takes(self) -> None:
        for sample in self.samples:
            text = self.loader.load(sample).text
            assert "\0" not in text
            text.encode()

    def test_the_same_bytes_give_the_same_text(self) -> None:
        for sample in self.samples:
            assert self.loader.load(sample) == self.loader.load(sample)

    def test_broken_bytes_are_refused_with_a_reason(self) -> None:
        for raw in self.broken:
            assert refusal(self.loader, raw)


class SplitterConformance:
    """Set `split`."""

    split: Split  # wrap it in `staticmethod`

    def test_pieces_are_in_order_disjoint_and_leave_no_word_out(self) -> None:
        for sample in SAMPLES:
            for budget in (1, 16, 200):
                check_pieces(self.split, Loaded(sample), budget)

    def test_headings_divide_and_name_the_pieces(self) -> None:
        text = "top\n# A\none\n# B\ntwo\n"
        loaded = Loaded(text, (Heading(4, 8, 1, "A"), Heading(12, 16, 1, "B")))
        pieces = [(text[piece.start : piece.end], piece.section) for piece in self.split(loaded, budget_tokens=200)]
        assert pieces == [("top", ""), ("# A\none", "A"), ("# B\ntwo", "B")]


def refusal(loader: Loader, raw: bytes) -> str:
    """Why the loader does not read these bytes; empty where it does."""
    try:
        loader.load(raw)
    except Unreadable as error:
        return error.message
    return ""


def check_pieces(split: Split, loaded: Loaded, budget_tokens: int) -> None:
    """The splitter's promises, for any text.

    Raises:
        AssertionError: one does not hold.
    """
    position = 0
    for piece in split(loaded, budget_tokens=budget_tokens):
        text = loaded.text[piece.start : piece.end]
        assert piece.start >= position, "pieces overlap or are out of order"
        assert not loaded.text[position : piece.start].strip(), "a word was left out"
        assert text, "a piece is empty"
        assert text == text.strip(), "a piece begins or ends with white space"
        assert len(text) == 1 or len(text.encode()) <= budget_tokens * BYTES_PER_TOKEN, "a piece is over its budget"
        position = piece.end
    assert not loaded.text[position:].strip(), "a word was left out at the end"
