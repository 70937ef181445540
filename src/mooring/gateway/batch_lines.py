"""The lines of a batch's file: which requests they are, and what is wrong with those that are none. Pure."""

import msgspec

from mooring.core.text import digest

MOST_LINES = 50_000


class Line(msgspec.Struct, frozen=True):
    """One request of the file."""

    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a line, before anything is sent."""

    line: int
    code: str
    message: str
    param: str | None = None


_decode_line = msgspec.json.Decoder(Line).decode


def step_of(custom_id: str) -> str:
    """The step of a line: by its own name, so that a key means the same line whoever works it off."""
    return f"line/{digest(custom_id.encode()).hex()[:24]}"


def read_lines(data: bytes, endpoint: str) -> tuple[list[Line], list[Fault]]:
    """The requests of a file, and what is wrong with those that are none."""
    lines: list[Line] = []
    faults: list[Fault] = []
    seen: set[str] = set()
    rows = [(number, row) for number, row in enumerate(data.split(b"\n"), 1) if row.strip()]
    if not rows:
        return [], [Fault(0, "empty_file", "The file holds no request.")]
    if len(rows) > MOST_LINES:
        return [], [Fault(0, "too_many_tasks", f"The file holds more than {MOST_LINES:,} requests.")]
    for number, row in rows:
        fault, line = _read_line(number, row, endpoint, seen)
        if fault is not None:
            faults.append(fault)
        elif line is not None:
            seen.add(line.custom_id)
            lines.append(line)
    return lines, faults


def _read_line(number: int, row: bytes, endpoint: str, seen: set[str]) -> tuple[Fault | None, Line | None]:
    try:
        line = _decode_line(row)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Fault(number, "invalid_json_line", f"This line is no request: {error}."), None
    if not line.custom_id or line.custom_id in seen:
        return Fault(number, "duplicate_custom_id", "Its custom_id is empty or came before.", "custom_id"), None
    if line.method != "POST" or line.url != endpoint:
        return Fault(number, "mismatched_endpoint", f"It does not POST to {endpoint}.", "url"), None
    if not bytes(line.body).lstrip().startswith(b"{") or b'"stream":true' in bytes(line.body).replace(b" ", b""):
        return Fault(number, "invalid_body", "Its body is no object, or asks for a stream.", "body"), None
    return None, line
