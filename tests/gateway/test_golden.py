"""What passes between each pair of wires is what the files say; a change of it is seen before it is released."""

import pytest

from .golden import FOLDER, PAIRS, text_of


@pytest.mark.parametrize(("inbound", "upstream"), PAIRS)
def test_a_pair_of_wires_says_what_its_file_says(inbound: str, upstream: str) -> None:
    path = FOLDER / f"{inbound}-{upstream}.json"
    assert path.read_text(encoding="utf-8") == text_of(inbound, upstream), "Run: python -m tests.gateway.golden"
