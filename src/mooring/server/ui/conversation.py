"""A run as a conversation: its events in order, each tool call with its result, and the crashes between them."""

from typing import Any

import msgspec

from mooring.core import ids
from mooring.journal.records import RunEvent
from mooring.tracing.tracing import Trace, TracedCall

# Events that only say that something happened, and what they are called here.
NOTES = {
    "code.changed": "The app's code changed since this run began.",
    "step.finished": "A step of the app's own ended.",
    "output.rejected": "The output did not have the asked-for shape; the model was told.",
    "limit.reached": "A limit of the run was reached.",
}


def conversation(trace: Trace) -> list[dict[str, Any]]:
    """Turns in order. `who` is user, system, model, tool, crash or note; all text is plain text."""
    teller = _Teller({traced.call.id: traced for traced in trace.calls})
    for event in trace.events:
        teller.tell(event)
    teller.end()
    return teller.turns


class _Teller:
    def __init__(self, calls: dict[bytes, TracedCall]) -> None:
        self.turns: list[dict[str, Any]] = []
        self._calls = calls
        self._tools: dict[str, dict[str, Any]] = {}

    def tell(self, event: RunEvent) -> None:
        data = msgspec.json.decode(event.payload) if event.payload else {}
        match event.kind:
            case "run.started":
                self._started(event, data)
            case "model.finished":
                self._model(event, data)
            case "tool.started":
                self._tool(event, data)
            case "tool.finished" | "tool.rejected":
                self._result(event, data)
            case "run.parked":
                self._add(event, "note", f"Set aside: {data.get('reason', '')}", level="warn")
            case "run.finished":
                self._finished(event, data)
            case _:
                detail = {key: value for key, value in data.items() if key != "definition"}
                self._add(event, "note", NOTES.get(event.kind, event.kind), detail=_pretty(detail) if detail else None)

    def end(self) -> None:
        """What has no result yet is as its call is."""
        for turn in self._tools.values():
            if turn["state"] == "running" and (traced := self._traced(turn["call_id"])) is not None:
                turn["state"] = traced.call.state

    def _traced(self, call_id: str | None) -> TracedCall | None:
        return self._calls.get(ids.read("call", call_id)) if call_id else None

    def _add(self, event: RunEvent, who: str, text: str, **more: Any) -> dict[str, Any]:
        turn = {
            "seq": event.seq,
            "at_us": event.at_us,
            "who": who,
            "text": text,
            "call_id": ids.show("call", event.call_id) if event.call_id else None,
            **more,
        }
        self.turns.append(turn)
        return turn

    def _started(self, event: RunEvent, data: dict[str, Any]) -> None:
        definition = data.get("definition") or {}
        tools = [tool.get("function", {}).get("name", "?") for tool in definition.get("tools") or ()]
        if definition.get("instructions"):
            self._add(event, "system", definition["instructions"], model=definition.get("model"), tools=tools)
        value = data.get("input")
        turns = value if isinstance(value, list) and all(isinstance(turn, dict) for turn in value) else None
        for turn in turns or [{"role": "user", "content": value}]:
            who = turn.get("role") if turn.get("role") in ("user", "system") else "user"
            self._add(event, str(who), _text(turn.get("content")), model=None, tools=[])

    def _model(self, event: RunEvent, data: dict[str, Any]) -> None:
        message = data.get("message") or {}
        asked = [call.get("function", {}) for call in message.get("tool_calls") or ()]
        self._add(
            event,
            "model",
            _text(message.get("content")),
            step=data.get("step"),
            asks=[{"name": one.get("name", "?"), "arguments": one.get("arguments", "")} for one in asked],
            settled_nanos=data.get("cost_nanos") or 0,
            usage=data.get("usage"),
        )

    def _tool(self, event: RunEvent, data: dict[str, Any]) -> None:
        step = data.get("step", "")
        before = self._tools.get(step)
        if before is not None:
            self._crash(event, before, data)
        self._tools[step] = self._add(
            event,
            "tool",
            "",
            step=step,
            name=data.get("name", "?"),
            arguments=data.get("arguments", ""),
            state="running",
            is_repeat=before is not None,
        )

    def _crash(self, event: RunEvent, before: dict[str, Any], data: dict[str, Any]) -> None:
        """The same step began again without having ended: whoever did it before was gone."""
        before["state"] = "uncertain"
        traced = self._calls.get(event.call_id or b"")
        doubtful = [one for one in traced.attempts if one.outcome == "uncertain"] if traced else []
        text = (
            f"The worker ended while {data.get('name', 'the tool')} was under way: nobody can know whether it happened."
        )
        self._add(
            event,
            "crash",
            text,
            process=ids.show("proc", doubtful[-1].process_id) if doubtful else None,
            gap_us=event.at_us - before["at_us"],
        )

    def _result(self, event: RunEvent, data: dict[str, Any]) -> None:
        turn = self._tools.get(data.get("step", ""))
        if turn is None:
            turn = self._add(
                event,
                "tool",
                "",
                step=data.get("step"),
                name=data.get("name", "?"),
                arguments="",
                state="",
                is_repeat=False,
            )
        is_error = bool(data.get("is_error")) or event.kind == "tool.rejected"
        turn.update(
            text=_text(data.get("text")),
            state="failed" if is_error else "completed",
            duration_us=event.at_us - turn["at_us"],
            result_seq=event.seq,
        )

    def _finished(self, event: RunEvent, data: dict[str, Any]) -> None:
        state = data.get("state", "finished")
        level = {"completed": "good", "failed": "bad"}.get(state, "warn")
        why = data.get("error_message") or data.get("error_code")
        self._add(event, "note", f"The run is {state}{f': {why}' if why else '.'}", level=level)


def _text(value: Any) -> str:
    """Text as it is; of content parts their text; anything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        texts = [part["text"] if isinstance(part.get("text"), str) else _pretty(part) for part in value]
        return "\n".join(texts)
    return _pretty(value)


def _pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
