"""A provider that answers nonsense, on each database: an error or an answer, and a bill within its bounds."""

import json
from typing import Any

import pytest

from .conftest import Open, Site

ASK = {"messages": [{"role": "user", "content": "Hello."}], "max_tokens": 20}


def ask(s: Site, serve: Any, model: str, **fields: Any) -> Any:
    return serve.chat({**ASK, "model": f"sim/{model}", **fields}, idempotency_key=model)


@pytest.mark.parametrize("is_stream", [False, True])
def test_nonsense_is_recorded_and_the_bill_stays_within_its_bounds(site_on_either: Open, is_stream: bool) -> None:
    with site_on_either() as s:
        serve = s.serve()
        error = json.dumps({"error": {"message": "a\0b " * 9000, "type": "t\0", "code": "c\0" * 9000, "param": 3}})
        junk: dict[str, dict[str, Any]] = {
            "echo-nul": {"kind": "status", "status": 400, "body": error},
            "echo-busy": {"kind": "status", "status": 429, "body": error, "times": 2, "retry_after": "0"},
            "echo-html": {"kind": "html", "times": 2},
            "echo-usage": {"kind": "wrong_usage", "usage": {"prompt_tokens": 10**18, "completion_tokens": 10**30}},
            "echo-negative": {"kind": "wrong_usage", "usage": {"prompt_tokens": -5, "completion_tokens": -(10**19)}},
            "echo-garbage": {"kind": "garbage"},
        }
        for model, fault in junk.items():
            s.plant(model=model, **fault)
            first = ask(s, serve, model, stream=is_stream)
            again = ask(s, serve, model, stream=is_stream)
            assert first.status in (200, 400, 429, 502, 503), (model, first.body)
            assert b"internal_error" not in first.body
            assert len(first.body) < 20_000
            if first.status == 200:
                assert again.body == first.body
            call = serve.get(f"/v1/calls/{first.headers['x-mooring-call']}")
            assert call["state"] in ("completed", "failed"), model
            assert all(attempt["outcome"] != "intended" for attempt in call["attempts"])
        bill = serve.get("/v1/bill")
        assert bill["settled_nanos"] <= s.metered_nanos() <= bill["settled_nanos"] + bill["held_nanos"], bill
