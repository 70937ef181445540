"""A typed Python function as a tool: its signature is the schema, its docstring the description."""

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints, overload

import msgspec
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError

from mooring.core.errors import ConfigError, InvalidRequest
from mooring.core.messages import ToolSpec
from mooring.core.tools import DeclaredTool, Repeat, ToolPolicy, Touches, default_repeat

from .context import AsyncContext, Context

P = ParamSpec("P")
R = TypeVar("R")

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")  # what every vendor's wire accepts


class Done(msgspec.Struct, frozen=True):
    """A reconcile function's answer: the effect happened, and this is what the tool would have returned."""

    result: Any = "done"


class NotDone(msgspec.Struct, frozen=True):
    """A reconcile function's answer: the effect did not happen; the tool may run."""


Reconcile = Callable[..., Done | NotDone | None]


class Tool(Generic[P, R]):
    """What `@app.tool` and `@mooring.tool` make of a function. Calling it calls the function."""

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        touches: Touches = "read",
        repeat: Repeat | None = None,
        timeout_seconds: float = 60.0,
        reconcile: Reconcile | None = None,
    ) -> None:
        self.function = function
        self.name = name or function.__name__
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"'{self.name}' cannot be a tool's name.",
                hint="Use letters, digits, _ and -, 64 at most, no digit first.",
            )
        self.policy = ToolPolicy(
            touches=touches, repeat=repeat or default_repeat(touches), timeout_seconds=timeout_seconds
        )
        self.context_name, self._arguments = _arguments_of(function, self.name)
        self.spec = ToolSpec(
            name=self.name,
            description=inspect.getdoc(function) or "",
            parameters=_schema_of(self._arguments, self.name),
        )
        self.reconcile: Tool[..., Done | NotDone | None] | None = None
        if reconcile is not None:
            self.reconcile = Tool(reconcile, name=self.name, timeout_seconds=timeout_seconds)
        functools.update_wrapper(self, function)

    @property
    def declared(self) -> DeclaredTool:
        return DeclaredTool(spec=self.spec, policy=self.policy)

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    def parse(self, arguments: str) -> dict[str, Any]:
        """The model's JSON as the function's arguments, validated and converted.

        Raises:
            InvalidRequest: not JSON, a missing, unknown or wrong argument; the message is written for the model.
        """
        try:
            parsed = self._arguments.model_validate_json(arguments or "{}")
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
            raise InvalidRequest(
                f"Invalid arguments for '{self.name}': {faults}.",
                hint="Call it again with arguments that fit its schema.",
            ) from error
        return {name: getattr(parsed, name) for name in type(parsed).model_fields if name in parsed.model_fields_set}

    def bind(self, context: Context | AsyncContext, values: dict[str, Any]) -> dict[str, Any]:
        """The keyword arguments of a call: the values, and the context where the function wants one."""
        return {self.context_name: context, **values} if self.context_name else values

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Tool({self.name!r}, touches={self.policy.touches!r}, repeat={self.policy.repeat!r})"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=False, protected_namespaces=())


def _arguments_of(function: Callable[..., Any], name: str) -> tuple[str | None, type[BaseModel]]:
    """The name of the context parameter, if the first one is it, and a model of the others."""
    hints = _hints(function, name)
    parameters = list(inspect.signature(function).parameters.values())
    context_name = None
    if parameters and (parameters[0].name == "ctx" or hints.get(parameters[0].name) in (Context, AsyncContext)):
        context_name = parameters.pop(0).name
    fields: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(f"Tool '{name}' takes '{parameter}'.", hint="A tool needs named, typed parameters only.")
        if parameter.name not in hints:
            raise ConfigError(
                f"Parameter '{parameter.name}' of tool '{name}' has no type.",
                hint="Annotate it: the model's schema is made from it.",
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], Field(default))
    try:
        return context_name, create_model(f"{name}_arguments", __base__=_Strict, **fields)
    except (PydanticUserError, NameError) as error:
        raise ConfigError(f"The signature of tool '{name}' has no schema: {error}") from error


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigError(
            f"A type of tool '{name}' is not known: {error}.", hint="Import it at module level."
        ) from error


def _schema_of(model: type[BaseModel], name: str) -> dict[str, Any]:
    try:
        schema = TypeAdapter(model).json_schema()
    except PydanticUserError as error:
        raise ConfigError(f"The signature of tool '{name}' has no JSON schema: {error}") from error
    return {key: value for key, value in schema.items() if key != "title"}


class ToolDecorator:
    """`@tool` and `@tool(touches=...)` alike."""

    def __init__(self, keep: Callable[[Tool[..., Any]], None] | None = None) -> None:
        self._keep = keep

    @overload
    def __call__(self, function: Callable[P, R], /) -> Tool[P, R]: ...

    @overload
    def __call__(
        self,
        *,
        name: str | None = None,
        touches: Touches = "read",
        repeat: Repeat | None = None,
        timeout_seconds: float = 60.0,
        reconcile: Reconcile | None = None,
    ) -> Callable[[Callable[P, R]], Tool[P, R]]: ...

    def __call__(self, *functions: Callable[..., Any], **declared: Any) -> Any:
        def make(function: Callable[..., Any]) -> Tool[..., Any]:
            made = Tool(function, **declared)
            if self._keep:
                self._keep(made)
            return made

        return make(*functions) if functions else make


tool = ToolDecorator()
