"""The double's own interface: what it has and costs, what it billed, what to break, which effects happened."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from .chat import Frame, error_body
from .effects import Effects
from .errors import BadRequest, EffectsFull, KeyConflict
from .faults import FaultQueues, decode_faults
from .meter import Meter
from .models import MOST_OUTPUT_TOKENS, TOKENS_PER_MESSAGE, TOKENS_PER_TOOL, Model, resolve
from .wire import HttpRequest, response

_JSON = "application/json"
_OK = b'{"ok":true}'
_NAME_LENGTH = 100


class Control:
    """Answers everything that is not a model's."""

    def __init__(
        self,
        catalogue: dict[str, Model],
        meter: Meter,
        faults: FaultQueues,
        effects: Effects,
        requests: deque[HttpRequest],
    ) -> None:
        self._catalogue = catalogue
        self._meter = meter
        self._faults = faults
        self._effects = effects
        self._requests = requests
        self._routes: dict[tuple[str, str], Callable[[HttpRequest], bytes]] = {
            ("GET", "/healthz"): lambda _: _OK,
            ("GET", "/v1/models"): lambda _: msgspec.json.encode(self._models()),
            ("GET", "/prices"): lambda _: msgspec.json.encode(self._prices()),
            ("GET", "/meter"): self._meter_rows,
            ("GET", "/meter.csv"): lambda _: meter.as_csv(),
            ("GET", "/meter/totals"): lambda _: msgspec.json.encode(meter.totals()),
            ("DELETE", "/meter"): lambda _: self._cleared(meter.clear),
            ("GET", "/control"): lambda _: msgspec.json.encode(faults.waiting()),
            ("POST", "/control"): self._plant,
            ("DELETE", "/control"): lambda _: self._cleared(faults.clear),
            ("POST", "/control/release"): self._release,
            ("GET", "/effects"): lambda _: effects.as_json(),
            ("DELETE", "/effects"): lambda _: self._cleared(effects.clear),
            ("GET", "/requests"): lambda _: msgspec.json.encode(self._seen()),
        }

    def answer(self, request: HttpRequest) -> tuple[bytes, str]:
        """The body and its content type.

        Raises:
            BadRequest: no such path, another method, a body that cannot be understood.
        """
        route = self._routes.get((request.method, request.path))
        if route is not None:
            return route(request), "text/csv" if request.path.endswith(".csv") else _JSON
        if request.method == "GET" and request.path.startswith("/v1/models/"):
            return self._model(unquote(request.path.removeprefix("/v1/models/"))), _JSON
        if any(path == request.path for _, path in self._routes):
            raise BadRequest(f"{request.path} does not take {request.method[:20]}.", status=405)
        known = ", ".join(sorted({path for _, path in self._routes}))
        raise BadRequest(
            f"No such path. There is {known}, /v1/chat/completions, /v1/embeddings and /effects/NAME.",
            status=404,
            code="unknown_url",
        )

    def effect_frames(self, request: HttpRequest, request_id: str) -> Iterator[Frame]:
        """Perform the effect when the first frame is asked for, so that a fault decides whether it happens."""
        name = unquote(request.path.removeprefix("/effects/"))[:_NAME_LENGTH]
        key = request.headers.get("idempotency-key")
        headers = [("x-request-id", request_id)]
        status = 200
        try:
            effect, is_repeat = self._effects.perform(name, key, request.body, now_us=time.time_ns() // 1000)
            headers.append(("idempotent-replayed", str(is_repeat).lower()))
            body = msgspec.json.encode({"id": effect.id, "name": effect.name, "key": effect.key, "is_done": True})
        except KeyConflict:
            status = 409
            body = error_body("This Idempotency-Key came with another body.", kind="idempotency_error")
        except EffectsFull:
            status = 507
            body = error_body("Too many effects. Send DELETE /effects first.", kind="server_error")
        yield Frame("raw", response(status, body, headers=headers, is_keep_alive=request.is_keep_alive))

    def _cleared(self, clear: Callable[[], None]) -> bytes:
        clear()
        return _OK

    def _models(self) -> dict[str, Any]:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "sim"} for name in self._catalogue]
        return {"object": "list", "data": data}

    def _model(self, name: str) -> bytes:
        if resolve(name, self._catalogue) is None:
            message = f"The model '{name[:_NAME_LENGTH]}' does not exist here."
            raise BadRequest(message, "model", status=404, code="model_not_found")
        return msgspec.json.encode({"id": name, "object": "model", "created": 0, "owned_by": "sim"})

    def _prices(self) -> dict[str, Any]:
        return {
            "unit": "pico-dollars per token or unit; request_nanos in nano-dollars per request",
            "prices": {name: model.price._asdict() for name, model in self._catalogue.items()},
            "overhead": {
                "tokens_per_message": TOKENS_PER_MESSAGE,
                "tokens_per_tool": TOKENS_PER_TOOL,
                "bytes_per_token": 4,
                "most_output_tokens": MOST_OUTPUT_TOKENS,
            },
        }

    def _meter_rows(self, request: HttpRequest) -> bytes:
        query = parse_qs(request.query)
        try:
            after = int(query.get("after", ["-1"])[0])
            limit = int(query["limit"][0]) if "limit" in query else None
        except ValueError as error:
            raise BadRequest("'after' and 'limit' are whole numbers.", "after") from error
        return self._meter.as_json(after=after, limit=limit if limit is None else max(limit, 0))

    def _plant(self, request: HttpRequest) -> bytes:
        try:
            faults = decode_faults(request.body)
            for fault in faults:
                self._faults.add(fault)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            raise BadRequest(f"No such fault: {error}", "kind") from error
        return msgspec.json.encode({"queued": len(faults)})

    def _release(self, request: HttpRequest) -> bytes:
        try:
            asked = msgspec.json.decode(request.body or b"{}", type=dict[str, str])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadRequest(f'Send {{"release": "NAME"}}, or nothing to release all: {error}', "release") from error
        return msgspec.json.encode({"released": self._faults.release(asked.get("release"))})

    def _seen(self) -> list[dict[str, Any]]:
        """The last requests to models, without their credentials."""
        return [
            {
                "method": request.method,
                "path": request.path,
                "headers": {name: value for name, value in request.headers.items() if name != "authorization"},
                "body": request.body[: 64 * 1024].decode("utf-8", "replace"),
            }
            for request in self._requests
        ]
