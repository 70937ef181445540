"""Whose a call is, from headers or from the body; and which providers hear of its trace."""

from typing import Any

import msgspec
import pytest

from mooring.gateway import tracecontext
from mooring.gateway.config import ProviderConfig
from mooring.gateway.inbound import Inbound
from mooring.gateway.keys import Caller
from mooring.gateway.provider import registry
from mooring.gateway.whose import whose


def asked(body: dict[str, Any], **headers: str) -> tuple[str | None, str | None, tuple[str, ...]]:
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
    sent = {f"x-mooring-{name}".encode(): value.encode() for name, value in headers.items()}
    return tuple(whose(Inbound(Caller.service("default"), b"", sent), raw, body.get("user")))  # type: ignore[return-value]


def test_the_body_says_whose_it_is_and_a_header_says_it_louder() -> None:
    metadata = {"user_id": "m_1", "session_id": "s_1", "tags": "web, eu,web"}
    assert asked({"user": "u_1"}) == ("u_1", None, ())
    assert asked({"safety_identifier": "i_1"}) == ("i_1", None, ())
    assert asked({"metadata": metadata}) == ("m_1", "s_1", ("web", "eu"))
    assert asked({"metadata": {"user": "m_2", "session": "s_2", "tags": ["a", 1]}}) == ("m_2", "s_2", ("a",))
    assert asked({"user": "u_1", "metadata": metadata, "safety_identifier": "i_1"})[0] == "u_1"
    assert asked({"metadata": metadata}, user="h", session="s", tags="t") == ("h", "s", ("t",))


@pytest.mark.parametrize("metadata", [None, 5, [], "text", {"user_id": 5, "session_id": "", "tags": {"a": 1}}])
def test_metadata_of_another_shape_says_nothing(metadata: Any) -> None:
    assert asked({"metadata": metadata, "safety_identifier": 7}) == (None, None, ())


@pytest.mark.parametrize(
    ("kind", "url", "chosen", "is_traced"),
    [
        ("openai_compatible", "http://127.0.0.1:8000/v1", None, True),
        ("openai_compatible", "http://10.0.0.7/v1", None, True),
        ("openai_compatible", "https://llm.example.com/v1", None, False),
        ("openai_compatible", "https://llm.example.com/v1", True, True),
        ("openai_compatible", "http://127.0.0.1:8000/v1", False, False),
        ("sim", "http://sim.example.com/v1", None, True),
    ],
)
def test_a_trace_is_told_only_to_ones_own_servers(kind: str, url: str, chosen: bool | None, is_traced: bool) -> None:
    config = ProviderConfig.model_validate({"type": kind, "base_url": url, "propagate_traceparent": chosen})
    assert registry.get(kind)("p", config).is_traced is is_traced  # type: ignore[attr-defined]


def test_a_traceparent_is_read_and_written_and_a_broken_one_is_nothing() -> None:
    trace, span = bytes(range(16)), bytes(range(1, 9))
    assert tracecontext.read(tracecontext.write(trace, span).decode()) == (trace, span)
    for broken in (None, "", "00-zz-00-01", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "00-" + "1" * 32):
        assert tracecontext.read(broken) == (None, None)
