"""A batch whose worker, or whose serve, is killed: no line is bought twice, and what nobody can know is said."""

import json
from typing import Any

from .conftest import Open, Serve, http, kill, until

LINES = 24


def batch_of(serve: Serve, model: str) -> dict[str, Any]:
    """A batch of so many lines, made as an SDK does it."""
    lines = [
        json.dumps(
            {
                "custom_id": str(number),
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": model, "messages": [{"role": "user", "content": f"Line {number}"}]},
            }
        )
        for number in range(LINES)
    ]
    head = '--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\n'
    head += 'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    form = head + "\n".join(lines) + "\r\n--b--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    file_id = http("POST", f"{serve.url}/v1/files", form.encode(), key=serve.key, headers=kind).json["id"]
    body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = http("POST", f"{serve.url}/v1/batches", body, key=serve.key)
    assert made.status == 200, made.body
    found: dict[str, Any] = made.json
    return found


def ended(serve: Serve, batch: dict[str, Any]) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        told: dict[str, Any] = serve.get(f"/v1/batches/{batch['id']}")
        return told if told["status"] not in ("validating", "in_progress") else None

    return until(found, "the batch has ended")  # type: ignore[return-value]


def lines_of(serve: Serve, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    answer = http("GET", f"{serve.url}/v1/files/{file_id}/content", key=serve.key)
    return [json.loads(line) for line in answer.body.splitlines()]


def test_another_worker_goes_on_and_no_line_is_bought_twice(site: Open) -> None:
    with site() as s:
        serve = s.serve()
        s.worker(2)
        batch = batch_of(serve, "sim/writer-20words-10ms")
        until(lambda: len(s.meter()) >= LINES // 3, "a part has been bought")
        kill(s.owner(serve, batch["run_id"]))
        told = ended(serve, batch)
        assert told["status"] == "completed"
        assert told["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}
        found = lines_of(serve, told["output_file_id"])
        assert sorted(int(line["custom_id"]) for line in found) == list(range(LINES))
        assert len(s.meter()) == LINES
        bill = serve.get("/v1/bill")
        assert (bill["settled_nanos"], bill["held_nanos"]) == (s.metered_nanos(), 0)


def test_a_serve_that_dies_leaves_its_lines_in_flight_uncertain_and_the_next_one_the_rest(site: Open) -> None:
    with site() as s:
        serve = s.serve()
        s.worker(1)
        batch = batch_of(serve, "sim/writer-20words-10ms")
        until(lambda: len(s.meter()) >= LINES // 3, "a part has been bought")
        serve.kill()
        serve = s.serve()
        told = ended(serve, batch)
        good, bad = lines_of(serve, told["output_file_id"]), lines_of(serve, told["error_file_id"])
        assert sorted(int(line["custom_id"]) for line in good + bad) == list(range(LINES))
        assert {line["error"]["code"] for line in bad} <= {"call_uncertain"}
        assert len(s.meter()) <= LINES
        bill = serve.get("/v1/bill")
        assert bill["settled_nanos"] <= s.metered_nanos() <= bill["settled_nanos"] + bill["held_nanos"]
