"""The front matter of a Markdown file: the fields that are texts, numbers, true or false, or lists of them.

That is what sites write into it; of YAML's other forms (nested fields, texts over several lines) nothing is taken.
"""

import re

_FIELD = re.compile(r"([^\W\d][\w.-]*)[ \t]*:(?:[ \t]+(.*))?")
_MEMBER = re.compile(r"[ \t]*-[ \t]+(.*)")
_NUMBER = re.compile(r"[-+]?(?:\d{1,15}|\d{1,15}\.\d{1,15})")
_PARTS = re.compile(r"\"[^\"]*\"|'[^']*'|[^,]+")
_NOTHING = ("", "~", "null", "|", ">", "|-", ">-", "{}")


def read_front_matter(lines: list[str]) -> dict[str, object]:
    """The fields of the lines between the marks."""
    fields: dict[str, object] = {}
    open_list: list[object] | None = None
    for line in lines:
        member = _MEMBER.fullmatch(line)
        if member is not None:
            if open_list is not None:
                open_list.append(_scalar(member[1]))
            continue
        field = _FIELD.fullmatch(line)
        if field is None:
            continue
        name, value = field[1], _bare(field[2] or "")
        open_list = [] if not value else None
        fields[name] = _value(value) if open_list is None else open_list
    return {name: value for name, value in fields.items() if value is not None and value != []}


def _bare(value: str) -> str:
    """Without a comment behind it."""
    value = value.strip()
    return value if value[:1] in ("'", '"') else re.split(r"[ \t]#", value, maxsplit=1)[0].rstrip()


def _value(value: str) -> object:
    if value.startswith("[") and value.endswith("]"):
        return [_scalar(part) for part in _PARTS.findall(value[1:-1]) if part.strip()]
    return _scalar(value)


def _scalar(value: str) -> object:
    value = _bare(value)
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    if value in _NOTHING or value[:1] in "{&*!|>":
        return None
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    if _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value
