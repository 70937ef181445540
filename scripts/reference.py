#!/usr/bin/env python3
"""Write the reference pages that come from the code: `config.md`, `cli.md`, `errors.md` and `vendors.md`.

`tests/docs` compares the pages with what this makes, so run it after a change of a setting, a verb or an error.
"""

import importlib
import inspect
import pkgutil
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import mooring
from mooring.cli.cli import OPERATORS, VERBS
from mooring.cli.cli import mooring as root
from mooring.cli.exits import MEANINGS
from mooring.config import Config
from mooring.core.errors import MooringError
from mooring.gateway.codecs import Codec
from mooring.gateway.codecs import registry as wires
from mooring.gateway.fidelity import FEATURES
from mooring.gateway.provider import OPENAI_WIRES, Vendor
from mooring.gateway.provider import registry as vendors

PAGES = Path(__file__).parents[1] / "docs" / "reference"
MADE = "<!-- Made by scripts/reference.py from the code. Do not edit: run it. -->\n"


def pages() -> dict[str, str]:
    """The text of each page by its file name."""
    return {"config.md": config_page(), "cli.md": cli_page(), "errors.md": errors_page(), "vendors.md": vendors_page()}


# config ---------------------------------------------------------------------------------------------------------------

CONFIG_HEAD = f"""{MADE}
# Configuration

Everything is optional: with no file at all Mooring starts, and models `local/…` (built in) can be called, those of
vendors whose key is in the environment (`openai/…` with `OPENAI_API_KEY`), and those of Ollama, vLLM and llama.cpp on
this machine.

Settings come from `mooring.toml` in the working directory, or the file that `MOORING_CONFIG` names; then from the
environment: `MOORING_SECTION__KEY=value`, such as `MOORING_SERVER__PORT=8080`, wins over the file. An unknown key is
refused with the nearest known one, and all mistakes are reported at once: `mooring config check`. `mooring config
show` prints what is in force and who said so. Editors complete and check the file by its schema: `mooring config
schema > mooring.schema.json`, and `#:schema ./mooring.schema.json` as the file's first line. A secret is a reference,
`env:NAME` or `file:PATH`; a literal key is refused.

`MOORING_HOME` names the folder of all data; without it, `.mooring/` is looked for upward from the working directory,
like `.git`, and made there if there is none. `MOORING_URL` and `MOORING_API_KEY` are for clients: which server, which
key.
"""


def config_page() -> str:
    return CONFIG_HEAD + "".join(sections(Config, ""))


PLACEHOLDERS = {"prices": "MODEL", "facts": "MODEL", "wires": "MODEL"}


def sections(model: type[BaseModel], path: str) -> Iterator[str]:
    """The section's own table, then those of the sections in it."""
    rows, inner = [], []
    for name, field in model.model_fields.items():
        place = f"{path}.{name}" if path else name
        nested, is_mapping = nested_model(field.annotation)
        if nested is None:
            rows.append(f"| `{name}` | {type_words(field)} | {default_words(field)} | {field.description or ''} |\n")
        else:
            place = f"[{place}]" if typing.get_origin(field.annotation) is tuple else place
            inner.append((nested, f"{place}.{PLACEHOLDERS.get(name, 'NAME')}" if is_mapping else place))
    if path:
        about = re.sub(r"^\[\w+\]: |^The whole section.$", "", first_paragraph(model))
        yield f"\n## `[{path}]`\n" + (f"\n{about[0].upper()}{about[1:]}\n" if about else "")
        if rows:
            yield "\n| key | value | default | what it does |\n|---|---|---|---|\n" + "".join(rows)
    for nested, place in inner:
        yield from sections(nested, place)


def nested_model(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The section behind a field, and whether there is one for each name."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation, False
    if typing.get_origin(annotation) is types.UnionType:  # one that may be left out
        return nested_model(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) is tuple:
        value = typing.get_args(annotation)[0]
        if inspect.isclass(value) and issubclass(value, BaseModel):
            return value, False
    if typing.get_origin(annotation) is dict:
        value = typing.get_args(annotation)[1]
        if inspect.isclass(value) and issubclass(value, BaseModel):
            return value, True
    return None, False


WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def type_words(field: FieldInfo) -> str:
    words = annotation_words(field.annotation)
    bounds = [bound for rule in field.metadata for bound in bound_words(rule)]
    return f"{words}, {', '.join(bounds)}" if bounds else words


def annotation_words(annotation: Any) -> str:
    if annotation in WORDS:
        return WORDS[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(annotation_words(one) for one in arguments if one is not type(None))
    if origin is typing.Annotated:
        return "`env:NAME` or `file:PATH`"
    if origin is tuple:
        return "list of tables" if typing.get_origin(arguments[0]) is dict else "list of texts"
    if origin is dict:
        return f"table of {annotation_words(arguments[1])}s"
    raise TypeError(f"no words for {annotation}")


def bound_words(rule: Any) -> Iterator[str]:
    for name, sign in (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most")):
        value = getattr(rule, name, None)
        if value is not None:
            yield f"{sign} {value}"


def default_words(field: FieldInfo) -> str:
    value = field.default
    if field.is_required():
        return "required"
    if value is None:
        return ""
    if value == ():
        return "`[]`"
    return f"`{value!r}`".replace("'", '"') if isinstance(value, str) else f"`{str(value).lower()}`"


# command line ---------------------------------------------------------------------------------------------------------

CLI_HEAD = f"""{MADE}
# Command line

`mooring VERB --help` says the same. `runs`, `documents`, `keys` and `cost` alone list: `mooring runs --limit 5` is
`mooring runs list --limit 5`. `mooring sim` and `mooring local` hand their arguments on: `mooring sim -- --help`.

Standard output is the answer; standard error is for people: progress, remarks, errors. On a terminal tables are
coloured (not with `NO_COLOR`) and fit its width, and long work shows a bar. Anywhere else there are no colours, no
bars, and every cell is whole.

With `--json` standard output is one JSON document, whatever happens: the answer with at least the names listed below,
or `{{"error": {{"code": "…", "message": "…", "hint": "…"}}}}` with an exit code that is not 0; `code` is one of the
[errors](errors.md), or `usage`, `os_error`, `interrupted`, `internal_error`. Amounts are integers of nano-dollars,
times integers of microseconds since 1970 (UTC). `mooring up --json` prints its document once it is up, and serves on.

## Exit codes

| code | what it means |
|---|---|
"""


def cli_page() -> str:
    text = CLI_HEAD + "".join(f"| {code.value} | {meaning} |\n" for code, meaning in MEANINGS.items())
    text += "\n`mooring run FILE` ends with the file's own code; 128 + n if the signal n ended it.\n"
    with click.Context(root, info_name="mooring") as context:
        for title, verbs in (("Commands", VERBS), ("Operators' commands", OPERATORS)):
            text += f"\n## {title}\n"
            for name in verbs:
                command = root.get_command(context, name)
                assert command is not None
                text += "".join(command_text(command, name, context))
    return text


def command_text(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    with click.Context(command, info_name=name, parent=parent) as context:
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        yield f"\n### `{usage}`\n\n{first_paragraph_of(command.help or '')}\n"
        options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
        if options:
            yield "\n| option | default | what it does |\n|---|---|---|\n" + "".join(map(option_row, options))
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None
                yield from command_text(found, inner, context)
        elif command.epilog:
            lines = [line.strip() for line in command.epilog.splitlines() if line.startswith("  ")]
            yield "\n```sh\n" + "\n".join(lines) + "\n```\n"


def option_row(option: click.Option) -> str:
    value = ""
    if isinstance(option.type, click.Choice):
        value = " " + " \\| ".join(map(str, option.type.choices))
    elif not option.is_flag:
        value = f" {option.make_metavar(click.Context(root))}".replace("|", "\\|")
    default = "" if option.is_flag or not option.show_default or option.default == "" else f"`{option.default}`"
    return f"| `{', '.join(option.opts)}{value}` | {default} | {option.help or ''} |\n"


# errors ---------------------------------------------------------------------------------------------------------------

ERRORS_HEAD = f"""{MADE}
# Errors

An error says what happened and what to do. On the wire it has the shape that OpenAI's clients know; `code` is what a
program looks at, `message` is for people:

```json
{{"error": {{"message": "…", "type": "invalid_request_error", "param": "model", "code": "not_found"}}}}
```

`type` is `invalid_request_error` below 500 and `server_error` from there on. In a stream that has begun, the error is
an event of this shape, and `data: [DONE]` does not follow. *Again*: whether the same request may succeed if it is sent
again as it is. Answers with 409 carry `x-should-retry: false`, because the SDKs retry a 409 otherwise; a 429 carries
`retry-after`. A run that ended with an error has the same codes in its `error.code`.

| code | status | again | what happened |
|---|---|---|---|
"""
ON_THE_WIRE = ("core", "gateway", "guardrails", "journal", "net", "rag", "server", "storage")


def errors_page() -> str:
    found = sorted(error_classes(), key=lambda error: (error.status, error.code))
    rows = [
        f"| `{error.code}` | {error.status} | {'yes' if error.is_retryable else 'no'} | {first_paragraph(error)} |\n"
        for error in found
    ]
    return ERRORS_HEAD + "".join(rows)


def error_classes() -> list[type[MooringError]]:
    """The first class of each code, in the order of the tree."""
    for info in pkgutil.walk_packages(mooring.__path__, "mooring."):
        if info.name.split(".")[1] in ON_THE_WIRE and ".migrations" not in info.name:
            importlib.import_module(info.name)
    by_code: dict[str, type[MooringError]] = {}
    for error in tree(MooringError):
        if error.__module__.split(".")[1] in ON_THE_WIRE and not error.__name__.startswith("_"):
            by_code.setdefault(error.code, error)
    return list(by_code.values())


def tree(error: type[MooringError]) -> Iterator[type[MooringError]]:
    yield error
    for child in sorted(error.__subclasses__(), key=lambda one: one.__name__):
        yield from tree(child)


# vendors --------------------------------------------------------------------------------------------------------------

VENDORS_HEAD = f"""{MADE}
# What vendors and wires can do

A vendor is asked by its own wire; requests of another one are [translated](../explanation/wire-fidelity.md) or refused
by name. What a vendor takes beside that passes as it came; OpenAI's others are {", ".join(OPENAI_WIRES)}, and a server
that has one of them not answers 404. [Providers](providers.md) says how each is set up.

## Vendors

| vendor | chat by | embeddings by | passes as it comes | signs in with | prices |
|---|---|---|---|---|---|
"""
WIRES_HEAD = """
## Wires

| wire | for | callers may speak it | asked of | streams | output cap |
|---|---|---|---|---|---|
"""
SIGNS_IN = {"bedrock": ["AWS's credentials"]}
UPSTREAM_ONLY = ("bedrock_converse", "cohere_embed")


def vendors_page() -> str:
    families = {name: vendors.get(name) for name in vendors.names()}
    text = VENDORS_HEAD + "".join(vendor_row(name, vendor) for name, vendor in families.items())
    found = [wires.get(name) for name in wires.names()]
    text += WIRES_HEAD + "".join(wire_row(wire, families) for wire in found)
    for name, vendor in families.items():
        text += f"\n### `{name}`\n\n{vendor_text(vendor)}\n"
    for wire in found:
        text += f"\n### `{wire.name}`\n\n{wire_text(wire)}\n"
    return text


def vendor_row(name: str, vendor: type[Vendor]) -> str:
    chat = vendor.wire if vendor.wire != "openai_chat" else "openai_chat, or openai_responses by `wires`"
    passes = [*vendor.other_wires, *(["OpenAI's others"] if vendor.wire == "openai_chat" else [])]
    keys = [f"`{key}`" for key in (vendor.api_key_env, *vendor.other_key_envs) if key]
    tokens = [f"`token = {kind}`" for kind in vendor.token_kinds] + SIGNS_IN.get(name, [])
    prices = "free" if vendor.is_free else f"list of {vendor.price_provider}" if vendor.price_provider else "yours"
    cells = [f"`{name}`", chat, vendor.embedding_wire or "none", ", ".join(dict.fromkeys(passes)) or "nothing else",
             ", ".join([*keys, *tokens]) or "nothing, or `api_key`", prices]  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def vendor_text(vendor: type[Vendor]) -> str:
    about = first_paragraph(sys.modules[vendor.__module__])
    image = "An image in the request has no bound, so a budget refuses it."
    if vendor.media_tokens is not None:
        image = f"Under a budget an image in the request is held at {vendor.media_tokens:,} tokens."
    return f"{about} {image}" if not vendor.is_free else about


def wire_row(wire: type[Codec], families: dict[str, type[Vendor]]) -> str:
    asked = [
        f"`{name}`"
        for name, vendor in families.items()
        if wire.name in (vendor.wire, vendor.embedding_wire, *vendor.other_wires)
    ]
    if wire.name in OPENAI_WIRES:
        asked = ["whoever speaks openai_chat", *asked]
    streams = "no" if wire.kind != "chat" else "server-sent events" if wire.is_text else "binary frames"
    cap = ("must be there" if wire.needs_cap else "may be left out") if wire.kind == "chat" else "none"
    speaks = "no" if wire.name in UPSTREAM_ONLY else "yes"
    cells = [f"`{wire.name}`", wire.kind, speaks, ", ".join(asked) or "by `wires`", streams, cap]
    return f"| {' | '.join(cells)} |\n"


def wire_text(wire: type[Codec]) -> str:
    about = first_paragraph(sys.modules[wire.__module__])
    if wire.kind != "chat":
        return about
    parts = [about]
    for words, names in (
        ("It cannot carry", [name for name in FEATURES if name in wire.cannot_carry]),
        ("It leaves out", [name for name in FEATURES if name in wire.leaves_out]),
        ("Callers of any wire may send its own fields", [f"`{name}`" for name in sorted(wire.own_fields)]),
    ):
        if names:
            parts.append(f"{words}: {', '.join(names)}.")
    return "\n\n".join(parts)


def first_paragraph(thing: Any) -> str:
    return first_paragraph_of(inspect.getdoc(thing) or "")


def first_paragraph_of(text: str) -> str:
    return re.sub(r"\s+", " ", text.split("\n\n", maxsplit=1)[0]).strip()


if __name__ == "__main__":
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")
