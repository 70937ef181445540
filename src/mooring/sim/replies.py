"""Whole answers that are not generated: errors in OpenAI's shape, and the double's own JSON."""

from .conversation import Failure
from .dialect import OPENAI, Dialect
from .errors import BadRequest
from .wire import response


def refused(problem: BadRequest, request_id: str, *, is_keep_alive: bool, dialect: Dialect = OPENAI) -> bytes:
    """The caller's fault; nothing is billed."""
    body = dialect.error(
        problem.message, kind="invalid_request_error", param=problem.param, code=problem.code, status=problem.status
    )
    return response(problem.status, body, headers=[("x-request-id", request_id)], is_keep_alive=is_keep_alive)


def failed(failure: Failure, request_id: str, *, is_keep_alive: bool, dialect: Dialect = OPENAI) -> bytes:
    """The double's fault, on purpose or by a script; nothing is billed."""
    headers = [("x-request-id", request_id)]
    if failure.retry_after is not None:
        headers.append(("retry-after", failure.retry_after))
    body = dialect.error(failure.message, kind="server_error", code=failure.code, status=failure.status)
    return response(failure.status, body, headers=headers, is_keep_alive=is_keep_alive)


def json_answer(body: bytes, request_id: str, *, is_keep_alive: bool, content_type: str = "application/json") -> bytes:
    """An answer of the double's own interface."""
    headers = [("x-request-id", request_id)]
    return response(200, body, content_type=content_type, headers=headers, is_keep_alive=is_keep_alive)
