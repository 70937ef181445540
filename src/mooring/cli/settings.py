"""The configuration for people and for editors: as TOML that says who said what, and as a JSON Schema."""

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mooring.config import Explained

HEAD = "# What is in force. A remark says where a value comes from; without one it is the default."
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_REMARK_COLUMN = 44


def as_toml(explained: "Explained") -> str:
    """The effective configuration; read as a file, it gives the same configuration again."""
    data = explained.config.model_dump(mode="json")
    return "\n".join([HEAD, *_section(data, (), explained.sources)]) + "\n"


def as_data(explained: "Explained") -> dict[str, Any]:
    """The same for programs; `sources` by dotted path, of all that is no default."""
    sources = {".".join(place): source for place, source in explained.sources.items()}
    return {**explained.config.model_dump(mode="json"), "sources": sources}


def _section(data: dict[str, Any], place: tuple[str, ...], sources: dict[tuple[str, ...], str]) -> Iterator[str]:
    plain = {key: value for key, value in data.items() if not isinstance(value, dict) and not _is_tables(value)}
    if place and (plain or not data):
        yield f"\n[{'.'.join(map(_key, place))}]"
    for key, value in plain.items():
        line = f"# {_key(key)} is not set" if value is None else f"{_key(key)} = {_value(value)}"
        source = sources.get((*place, key))
        yield f"{line.ljust(_REMARK_COLUMN)}# {source}" if source else line
    for key, value in data.items():
        if isinstance(value, dict) and (value or not plain):
            yield from _section(value, (*place, key), sources)
        elif _is_tables(value):
            for table in value:
                yield f"\n[[{'.'.join(map(_key, (*place, key)))}]]"
                yield from (f"{_key(name)} = {_value(entry)}" for name, entry in table.items())


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(name)} = {_value(entry)}' for name, entry in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)


def schema() -> dict[str, Any]:
    """The JSON Schema of mooring.toml, with the plug-ins that are installed here as the choices of `type`."""
    from mooring.config import Config
    from mooring.gateway.provider import registry as providers
    from mooring.guardrails.guardrails import registry as checks

    found = Config.model_json_schema()
    definitions = found["$defs"]
    definitions["ProviderConfig"]["properties"]["type"]["enum"] = providers.names()
    definitions["GuardrailsConfig"]["properties"]["checks"]["items"] = {
        "type": "object",
        "properties": {"type": {"enum": checks.names(), "description": "Which check."}},
        "required": ["type"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": "mooring.toml",
        "description": "The configuration of Mooring; every key is optional.",
    }
