"""The smallest valid instance of a JSON schema, filled from what was said."""

from typing import Any

import pytest

from mooring.sim.schema import Filling, instance


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("order 81 came broken", "81"),
        ("Order #A-81 came broken", "A-81"),
        ("my order: 81, please", "81"),
        ("order number 81", "81"),
        ('the "blue one" came broken', "blue one"),
        ("I reorder nothing", "order"),
    ],
)
def test_a_string_is_found_by_the_name_of_its_property_or_in_quotes(text: str, expected: str) -> None:
    string = {"type": "string"}
    assert instance(_object(order=string), Filling(text)) == {"order": expected}
    if expected == "81":
        assert instance(_object(order_id=string), Filling(text)) == {"order_id": expected}


def test_quoted_strings_are_used_once_each_in_order() -> None:
    string = {"type": "string"}
    value = instance(_object(a=string, b=string, c=string), Filling("say \"one\" and 'two'"))
    assert value == {"a": "one", "b": "two", "c": "c"}


def test_a_free_text_property_gets_the_whole_text() -> None:
    assert instance(_object(query={"type": "string"}), Filling("How long?")) == {"query": "How long?"}


def test_amounts_and_addresses_are_found_wherever_they_stand() -> None:
    value = instance(
        _object(usd={"type": "number"}, email={"type": "string"}, order={"type": "integer"}),
        Filling("Refund $12.50 on order 7 to a.b@example.org"),
    )
    assert value == {"usd": 12.5, "email": "a.b@example.org", "order": 7}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "maximum": -2}, -2),
        ({"type": "integer", "minimum": 5, "multipleOf": 4}, 8),
        ({"type": "number"}, 1),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": None}, None),
        ({"default": 3, "type": "integer"}, 3),
        ({"type": "boolean"}, True),
        ({"type": ["null", "string"]}, None),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": "array", "items": {"type": "boolean"}}, []),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "string", "minLength": 8}, "valuexxx"),
        ({"type": "string", "maxLength": 2}, "va"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {}),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"enum": [1]}}}, 1),
        ({"$ref": "#/nowhere"}, "value"),
        ({"allOf": [_object(a={"enum": [1]}), {"$ref": "#/$defs/B"}], "$defs": {"B": _object(b={"enum": [2]})}},
         {"a": 1, "b": 2}),
    ],
)  # fmt: skip
def test_each_keyword_is_kept(schema: dict[str, Any], expected: Any) -> None:
    assert instance(schema, Filling("")) == expected


def test_a_schema_that_contains_itself_ends() -> None:
    node = _object(next={"anyOf": [{"$ref": "#"}, {"type": "null"}]})
    value = instance(node, Filling(""))
    while value is not None:
        value = value["next"]


def test_a_schema_that_grows_without_end_is_bounded() -> None:
    tree = {"type": "array", "minItems": 100, "items": {"$ref": "#"}}
    assert str(instance(tree, Filling(""))).count("[") <= 2_000
