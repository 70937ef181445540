"""What is sold by something else than tokens: searches, images, seconds, characters; and paths that are just there.

The rules, part of the double's contract: a search is up to 100 documents, of which one of more than 2,000 characters
counts once more for each further 2,000; a second is 1,000 bytes of audio, begun ones too; a character is one of
Unicode; each image is one. A thing costs its model's price per request, if it is not only read.
"""

import base64
import re
from email import message_from_bytes
from typing import Any, Literal, NamedTuple

import msgspec

from .chat import Frame
from .embeddings import vector
from .errors import BadRequest
from .models import tokens
from .wire import HttpRequest, chunk, response, stream_head

Sold = Literal["rerank", "moderation", "image", "transcription", "speech", "thing"]
PATHS: dict[str, Sold] = {
    "/v1/rerank": "rerank",
    "/v2/rerank": "rerank",
    "/v1/moderations": "moderation",
    "/v1/images/generations": "image",
    "/v1/images/edits": "image",
    "/v1/audio/transcriptions": "transcription",
    "/v1/audio/speech": "speech",
}
THINGS = "/v1/things/"
_PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
_LONG = 2000
_SECOND_BYTES = 1000
_PIECE = 4096


class Wanted(NamedTuple):
    """One request of this kind: who is asked, what it comes to, and the answer as it is written."""

    model: str
    units: int
    input_tokens: int
    frames: list[Frame]
    is_stream: bool = False
    is_billed: bool = True


def sold_at(path: str) -> Sold | None:
    """What is sold at this path."""
    return "thing" if path.startswith(THINGS) else PATHS.get(path)


def read(request: HttpRequest, sold: Sold, request_id: str) -> Wanted:
    """What is wanted, and its answer.

    Raises:
        BadRequest: its vendor would refuse it.
    """
    if sold == "thing":
        return _thing(request, request_id)
    if request.method != "POST":
        raise BadRequest(f"{request.path} takes POST.", status=405)
    given = _fields(request)
    model = given.get("model")
    if not isinstance(model, str):
        raise BadRequest("you must provide a model parameter", "model")
    reader = {
        "rerank": _rerank,
        "moderation": _moderation,
        "image": _images,
        "transcription": _transcription,
    }.get(sold)
    return _speech(given, model, request_id) if reader is None else reader(given, model, request_id)


def _rerank(given: dict[str, Any], model: str, request_id: str) -> Wanted:
    query, documents = given.get("query"), given.get("documents")
    if not isinstance(query, str) or not isinstance(documents, list) or not documents:
        raise BadRequest("invalid request: query and documents are needed", "documents")
    texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in documents]
    asked = vector(query, 64)
    scores = [sum(a * b for a, b in zip(asked, vector(text or " ", 64), strict=True)) for text in texts]
    order = sorted(range(len(texts)), key=lambda place: (-scores[place], place))[: given.get("top_n") or len(texts)]
    results = [{"index": place, "relevance_score": round(scores[place], 6)} for place in order]
    counted = sum(1 + max(len(text) - 1, 0) // _LONG for text in texts)
    units = (counted + 99) // 100
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": units}}
    return Wanted(model, units, 0, _json({"id": request_id, "results": results, "meta": meta}))


def _moderation(given: dict[str, Any], model: str, request_id: str) -> Wanted:
    asked = given.get("input")
    texts = asked if isinstance(asked, list) else [asked]
    results = []
    for text in texts:
        is_bad = "violence" in str(text)
        scores = {"violence": 0.9 if is_bad else 0.01}
        results.append({"flagged": is_bad, "categories": {"violence": is_bad}, "category_scores": scores})
    return Wanted(model, 0, 0, _json({"id": f"modr-{request_id[4:]}", "model": model, "results": results}))


def _images(given: dict[str, Any], model: str, request_id: str) -> Wanted:
    count, prompt = int(given.get("n") or 1), str(given.get("prompt", ""))
    if "refuse" in prompt:
        raise BadRequest("Your request was rejected by the safety system.", code="moderation_blocked")
    data = [{"b64_json": _PIXEL, "revised_prompt": prompt} for _ in range(count)]
    if str(given.get("stream")).lower() == "true":
        usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        last = {"type": "image_generation.completed", "b64_json": _PIXEL, "usage": usage}
        return Wanted(model, count, 0, _events([last], request_id), is_stream=True)
    return Wanted(model, count, 0, _json({"created": 0, "data": data}))


def _transcription(given: dict[str, Any], model: str, request_id: str) -> Wanted:
    audio = given.get("file")
    if not isinstance(audio, bytes) or not audio:
        raise BadRequest("file is needed", "file")
    seconds = (len(audio) + _SECOND_BYTES - 1) // _SECOND_BYTES
    text = f"It lasts {seconds} seconds. {given.get('prompt', '')}".strip()
    shape = given.get("response_format", "json")
    if str(given.get("stream")).lower() == "true":
        usage = {"type": "duration", "seconds": seconds}
        events = [{"type": "transcript.text.delta", "delta": word} for word in re.findall(r"\s*\S+", text)]
        events.append({"type": "transcript.text.done", "text": text, "usage": usage})
        return Wanted(model, seconds, 0, _events(events, request_id), is_stream=True)
    if shape in ("text", "srt", "vtt"):
        return Wanted(model, seconds, 0, _whole(f"{text}\n".encode(), "text/plain; charset=utf-8", request_id))
    answer: dict[str, Any] = {"text": text, "usage": {"type": "duration", "seconds": seconds}}
    if shape == "verbose_json":
        answer = {"text": text, "duration": float(seconds), "language": "english", "segments": []}
    return Wanted(model, seconds, 0, _json(answer))


def _speech(given: dict[str, Any], model: str, request_id: str) -> Wanted:
    text = given.get("input")
    if not isinstance(text, str) or not text:
        raise BadRequest("input is needed", "input")
    sound = b"ID3" + bytes(ord(letter) % 251 for letter in text) * 64
    return Wanted(model, len(text), tokens(text), _flow(sound, "audio/mpeg", request_id), is_stream=True)


def _thing(request: HttpRequest, request_id: str) -> Wanted:
    name = request.path.removeprefix(THINGS)
    is_read = request.method in ("GET", "DELETE")
    if name == "flow":
        frames = _flow(bytes(range(256)) * 256, "application/octet-stream", request_id)
        return Wanted("thing", 0, 0, frames, is_stream=True, is_billed=not is_read)
    if name == "refuse":
        body = b'{"oops":"no such thing, vendor style"}'
        frame = response(418, body, content_type="application/json", headers=[("x-request-id", request_id)])
        return Wanted("thing", 0, 0, [Frame("raw", frame)], is_billed=False)
    if name == "away":
        frame = response(302, b"", headers=[("location", "http://169.254.169.254/latest/meta-data/")])
        return Wanted("thing", 0, 0, [Frame("raw", frame)], is_billed=False)
    if is_read:
        told = {"id": name, "method": request.method, "query": request.query}
        return Wanted("thing", 0, 0, _json(told), is_billed=False)
    kind = request.headers.get("content-type", "application/octet-stream")
    headers = [("x-request-id", request_id), ("x-thing", name)]
    frame = response(201, request.body, content_type=kind, headers=headers)
    return Wanted("thing", 0, 0, [Frame("finish", b""), Frame("raw", frame)])


def _fields(request: HttpRequest) -> dict[str, Any]:
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        try:
            given = msgspec.json.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"We could not parse the JSON body of your request: {error}") from error
        if not isinstance(given, dict):
            raise BadRequest("The body is no object.")
        return given
    form = message_from_bytes(b"content-type: " + kind.encode("latin-1") + b"\r\n\r\n" + request.body)
    found: dict[str, Any] = {}
    for part in form.walk():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(data, bytes):
            is_file = part.get_filename() is not None
            found[name.removesuffix("[]")] = data if is_file else data.decode("utf-8", "replace")
    return found


def _json(value: object) -> list[Frame]:
    return [Frame("finish", b""), Frame("answer", msgspec.json.encode(value))]


def _whole(body: bytes, kind: str, request_id: str) -> list[Frame]:
    headers = [("x-request-id", request_id)]
    return [Frame("finish", b""), Frame("raw", response(200, body, content_type=kind, headers=headers))]


def _flow(body: bytes, kind: str, request_id: str) -> list[Frame]:
    pieces = [body[at : at + _PIECE] for at in range(0, len(body), _PIECE)]
    head = stream_head(kind, headers=[("x-request-id", request_id)])
    return [Frame("raw", head), *(Frame("event", piece) for piece in pieces), Frame("finish", b""), _end()]


def _events(events: list[dict[str, Any]], request_id: str) -> list[Frame]:
    head = stream_head("text/event-stream; charset=utf-8", headers=[("x-request-id", request_id)])
    data = [b"event: %b\ndata: %b\n\n" % (one["type"].encode(), msgspec.json.encode(one)) for one in events]
    return [Frame("raw", head), *(Frame("event", one) for one in data), Frame("finish", b""), _end()]


def _end() -> Frame:
    return Frame("raw", chunk(b""))
