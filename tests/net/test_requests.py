"""What goes out on the wire, and what is refused before it does."""

import pytest

from mooring.core.errors import InvalidRequest
from mooring.net import Request
from mooring.net.request import encode_head, parse_url


def head(request: Request) -> list[bytes]:
    return encode_head(request).split(b"\r\n")


@pytest.mark.parametrize(
    ("url", "origin", "host", "path"),
    [
        ("https://api.example.com", "https://api.example.com:443", b"api.example.com", b"/"),
        ("https://api.example.com:443/v1?a=b&c", "https://api.example.com:443", b"api.example.com", b"/v1?a=b&c"),
        ("http://h:8080/x%20y#part", "http://h:8080", b"h:8080", b"/x%20y"),
        ("http://[::1]:80/", "http://[::1]:80", b"[::1]", b"/"),
        ("HTTP://Host.Example./", "http://host.example:80", b"host.example.", b"/"),
        ("http://h?q", "http://h:80", b"h", b"/?q"),
    ],
)
def test_a_url_names_origin_host_and_path(url: str, origin: str, host: bytes, path: bytes) -> None:
    target = parse_url(url)
    assert (str(target.origin), target.host_header, target.path) == (origin, host, path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/path",
        "ftp://h/",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "http://h:99999/",
        "http://h:x/",
        "http://[::1/",
        "http://u@h/",
        "http://u:p@h/",
        "http://h/a b",
        "http://h/\r\nx: y",
        "http://h/ä",
        "http://h\0/",
        "http://@h/",
    ],
)
def test_a_url_that_cannot_be_sent_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_url(url)


def test_a_post_says_its_length_and_asks_for_no_compression() -> None:
    assert head(Request("POST", "http://h/p", [(b"x-y", b"z")], b"body")) == [
        b"POST /p HTTP/1.1",
        b"host: h",
        b"x-y: z",
        b"content-length: 4",
        b"accept-encoding: identity",
        b"",
        b"",
    ]


def test_a_get_has_no_length_and_an_empty_post_has_one() -> None:
    assert not any(line.startswith(b"content-length") for line in head(Request("GET", "http://h/")))
    assert b"content-length: 0" in head(Request("POST", "http://h/"))


def test_compression_is_the_callers_choice() -> None:
    lines = head(Request("GET", "http://h/", [(b"Accept-Encoding", b"gzip")]))
    assert [line.lower() for line in lines if b"ncoding" in line] == [b"accept-encoding: gzip"]


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\rb", b"a\0b", b"\r\n\r\nGET / HTTP/1.1"])
def test_a_header_value_cannot_smuggle_a_line(value: bytes) -> None:
    with pytest.raises(InvalidRequest, match="line break or NUL"):
        head(Request("GET", "http://h/", [(b"x", value)]))


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\nb", b"\xe4", b"a\0"])
def test_a_header_name_is_a_token(name: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not a header name"):
        head(Request("GET", "http://h/", [(name, b"v")]))


@pytest.mark.parametrize("name", [b"Host", b"content-length", b"Transfer-Encoding", b"connection", b"Expect"])
def test_headers_of_the_framing_are_the_clients_own(name: bytes) -> None:
    with pytest.raises(InvalidRequest, match="written by the HTTP client"):
        head(Request("POST", "http://h/", [(name, b"5")], b"x"))


@pytest.mark.parametrize("method", ["", "get", "GET /x", "P\r\nOST", "CONNECT"])
def test_a_method_is_a_word_of_capitals(method: str) -> None:
    with pytest.raises(InvalidRequest):
        head(Request(method, "http://h/"))
