"""Makes `sync.py` from `client.py`: `python -m mooring.client.generate`. A test fails when it was forgotten.

Each public class `AsyncX` becomes `X`: coroutines run on a private loop, async iterators become iterators.
"""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
CLASSES = ("AsyncClient", "AsyncRuns", "AsyncCalls", "AsyncRun")

HEADER = '''"""The blocking face, made from `client.py` by `python -m mooring.client.generate`. Do not edit."""
# ruff: noqa: A002 - `input` is the word of the wire

from collections.abc import Iterator, Sequence
from typing import Any, Self, TypeVar, cast, overload

from pydantic import BaseModel

from mooring.core.seams import Hit

from .chat import Messages
from .client import AsyncCalls, AsyncClient, AsyncRun, AsyncRuns
from .discovery import Endpoint
from .encoding import Where
from .events import Event
from .loop import LoopThread
from .results import Answer, CallInfo, Completion, Embeddings, RunFact

M = TypeVar("M", bound=BaseModel)
'''

_CLIENT_INIT = """
    def __init__(self, {arguments}) -> None:
        self._core = AsyncClient({passed})
        self._loop = LoopThread()
        self.endpoint: Endpoint = self._core.endpoint
"""

_OTHER_INIT = """
    def __init__(self, loop: LoopThread, core: {name}) -> None:
        self._loop = loop
        self._core = core
"""

_CLIENT_END = """
    def close(self) -> None:
        self._loop.run(self._core.close())
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
"""

_SKIPPED = {"close", "send_search", "send_stream"}  # close ends the thread too; the others are the worker's


def generate(source: str) -> str:
    """The text of `sync.py`."""
    parts = [HEADER]
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name in CLASSES:
            parts.append(_class(node))
    return "\n\n".join(part.strip("\n") + "\n" for part in parts)


def _class(node: ast.ClassDef) -> str:
    lines = [f"class {_sync(node.name)}:", f'    """{_sync(ast.get_docstring(node) or "")}"""']
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            lines.append(_init(node.name, item))
        elif isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith("_"):
            lines += [_method(item)] if item.name not in _SKIPPED else []
    if node.name == "AsyncClient":
        lines.append(_CLIENT_END)
    return "\n".join(lines)


def _init(name: str, item: ast.FunctionDef) -> str:
    if name != "AsyncClient":
        return _OTHER_INIT.format(name=name)
    arguments = ast.unparse(item.args).removeprefix("self, ")
    return _CLIENT_INIT.format(arguments=arguments, passed=_passed(item.args))


def _method(item: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    returns = ast.unparse(item.returns).strip("'") if item.returns else "None"
    decorators = "".join(f"\n    @{ast.unparse(decorator)}" for decorator in item.decorator_list)
    head = f"{decorators}\n    def {item.name}({_sync(ast.unparse(item.args))}) -> {_sync(_quote(returns))}:"
    if "@overload" in decorators:
        return head + " ..."
    document = ast.get_docstring(item)
    text = "" if document is None else '\n        """' + document.replace("\n", "\n        ") + '"""'
    text = re.sub(r"\n +\n", "\n\n", text)
    text = text[:-3] + "\n        " + text[-3:] if "\n\n" in text else text
    return head + text + f"\n        {_body(item, returns)}"


def _body(item: ast.FunctionDef | ast.AsyncFunctionDef, returns: str) -> str:
    call = f"self._core.{item.name}"
    if returns == "Completion | BaseModel":  # the one overloaded method: its types are in the overloads
        call = f"core.{item.name}({_passed(item.args)})"
        return f'core: Any = self._core\n        return cast("{returns}", self._loop.run({call}))'
    if not _is_property(item):
        call += f"({_passed(item.args)})"
        if "AsyncIterator" in returns:
            return f"return self._loop.iterate({call})"
        call = f"self._loop.run({call})"
    if returns in CLASSES:
        return f"return {_sync(returns)}(self._loop, {call})"
    if match := re.search(r"list\['?(Async\w+)", returns):
        return f"return [{_sync(match[1])}(self._loop, core) for core in {call}]"
    return call if returns == "None" else f"return {call}"


def _is_property(item: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(decorator, ast.Name) and decorator.id == "property" for decorator in item.decorator_list)


def _passed(arguments: ast.arguments) -> str:
    names = [argument.arg for argument in arguments.args if argument.arg != "self"]
    names += [f"{argument.arg}={argument.arg}" for argument in arguments.kwonlyargs]
    if arguments.kwarg:
        names.append(f"**{arguments.kwarg.arg}")
    return ", ".join(names)


def _quote(returns: str) -> str:
    return f'"{returns}"' if returns in CLASSES else returns


def _sync(text: str) -> str:
    return re.sub(r"\bAsync(\w+)", r"\1", text)


if __name__ == "__main__":
    (HERE / "sync.py").write_text(generate((HERE / "client.py").read_text()))
