"""Runs a tool's function: on this loop if it is `async def`, else in a thread of its own, up to its timeout."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from mooring.client.context import AsyncContext, Context, ContextBackend
from mooring.client.encoding import result_text
from mooring.client.tool import Tool
from mooring.core.errors import LeaseLost, MooringError

from .effects import ToolOutcome

log = logging.getLogger("mooring.agents")


class Called(msgspec.Struct, frozen=True):
    """What a function did: a value, or an error for the model. `is_timed_out`: it may still be at work."""

    value: Any = None
    error: str | None = None
    code: str | None = None
    is_timed_out: bool = False


async def call_tool(tool: Tool[..., Any], backend: ContextBackend, values: dict[str, Any]) -> Called:
    """Run it; whatever it raises is an answer.

    Raises:
        LeaseLost: the run belongs to another worker now.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(tool.policy.timeout_seconds):
            if tool.is_async:
                value = await tool.function(**tool.bind(AsyncContext(backend), values))
            else:
                arguments = tool.bind(Context(backend, loop), values)
                value = await in_thread(lambda: tool.function(**arguments), name=f"tool-{tool.name}")
    except TimeoutError:
        seconds = tool.policy.timeout_seconds
        return Called(error=f"'{tool.name}' did not end within {seconds:g} seconds.", code="timeout", is_timed_out=True)
    except LeaseLost:
        raise
    except MooringError as error:
        return Called(error=str(error), code=error.code)
    except Exception as error:  # edge: a user's function may raise anything, and the model is told
        log.info("Tool %s raised", tool.name, exc_info=True)
        return Called(error=f"{type(error).__name__}: {error}", code="tool_failed")
    return Called(value=value)


def outcome_of(tool: Tool[..., Any], called: Called) -> ToolOutcome:
    """What the model is told, and whether the effect is in doubt."""
    if called.error is None:
        try:
            return ToolOutcome(result_text(called.value))
        except MooringError as error:
            return ToolOutcome(str(error), is_error=True, error_code=error.code)
    text = called.error
    if called.is_timed_out and tool.policy.touches != "read":
        text += " Its effect may have happened."
    is_uncertain = called.is_timed_out and tool.policy.repeat == "never"
    return ToolOutcome(text, is_error=True, error_code=called.code, is_uncertain=is_uncertain)


async def in_thread(function: Callable[[], Any], *, name: str) -> Any:
    """Its result. A daemon thread of its own: a tool that hangs blocks neither other tools nor the worker's end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def tell(setter: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            setter(value)

    def work() -> None:
        try:
            outcome, setter = context.run(function), future.set_result
        except BaseException as error:  # edge: a thread's error belongs to whoever waits for it
            outcome, setter = error, future.set_exception
        try:
            loop.call_soon_threadsafe(tell, setter, outcome)
        except RuntimeError:
            log.info("Thread %s ended after its worker", name)

    threading.Thread(target=work, name=name, daemon=True).start()
    return await future
