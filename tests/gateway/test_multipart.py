"""Forms: whatever is in a part comes out as it went in, and whatever is no form is refused, never misread."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core.errors import InvalidRequest
from mooring.gateway.codecs import registry as codecs
from mooring.gateway.codecs._plain import replaced, strings
from mooring.gateway.multipart import Part, encode, field, parse

names = st.text("abcdefghijklmnop[]_-", min_size=1, max_size=20)
files = st.builds(
    lambda name, data: Part(
        f'Content-Disposition: form-data; name="{name}"; filename="a.bin"'.encode(), name, data, "a.bin"
    ),
    names,
    st.binary(max_size=300),
)
fields = st.builds(field, names, st.text(max_size=50))
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(files | fields, max_size=6))
def test_what_is_written_is_read_again(parts: list[Part]) -> None:
    body, kind = encode(parts)
    assert parse(body, kind) == parts
    assert encode(parse(body, kind)) == (body, kind)


@given(st.binary(max_size=400), st.text(max_size=80))
def test_any_bytes_are_a_form_or_refused(body: bytes, kind: str) -> None:
    for content_type in (kind, "multipart/form-data; boundary=x"):
        with contextlib.suppress(InvalidRequest):
            assert all(part.name is not None for part in parse(body, content_type))


@given(st.binary(max_size=200))
def test_any_bytes_after_a_boundary_are_a_form_or_refused(rest: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        parse(b"--x\r\n" + rest + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")


@pytest.mark.parametrize("wire", ["openai_transcriptions", "openai_image_edits", "cohere_rerank", "openai_speech"])
@given(body=st.binary(max_size=200))
def test_no_bytes_break_a_plain_wire(wire: str, body: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        codecs.get(wire)().decode_request(body)


@given(trees)
def test_strings_that_nobody_changed_are_put_back_where_they_were(value: object) -> None:
    assert replaced(value, iter(list(strings(value)))) == value
