"""A function's signature is the schema; what the model sends is checked against it."""

from typing import Literal

import pytest
from pydantic import BaseModel

from mooring import App, AsyncContext, Context, tool
from mooring.client import Tool
from mooring.client.context import step_value
from mooring.core.errors import ConfigError, InvalidRequest


class Address(BaseModel):
    street: str


@tool(touches="write", repeat="keyed", timeout_seconds=5)
def refund(
    ctx: Context, order: str, usd: float, speed: Literal["slow", "fast"] = "slow", to: Address | None = None
) -> str:
    """Refund an order."""
    return f"{order}:{usd}:{speed}"


def test_schema_description_and_policy_come_from_the_function() -> None:
    assert refund.spec.description == "Refund an order."
    assert refund.spec.parameters["required"] == ["order", "usd"]
    assert set(refund.spec.parameters["properties"]) == {"order", "usd", "speed", "to"}
    assert refund.spec.parameters["additionalProperties"] is False
    assert (refund.policy.touches, refund.policy.repeat, refund.policy.timeout_seconds) == ("write", "keyed", 5)


def test_a_read_may_be_repeated_and_a_write_never_unless_it_says_so() -> None:
    def act() -> str:
        return ""

    assert Tool(act).policy.repeat == "safe"
    assert [Tool(act, touches=touches).policy.repeat for touches in ("write", "egress", "exec")] == ["never"] * 3


def test_arguments_become_typed_values() -> None:
    assert refund.parse('{"order": "81", "usd": 3, "to": {"street": "High"}}') == {
        "order": "81",
        "usd": 3.0,
        "to": Address(street="High"),
    }


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ('{"order": "81"}', "usd: Field required"),
        ('{"order": "81", "usd": "much"}', "usd: Input should be a valid number"),
        ('{"order": "81", "usd": 1, "ctx": {}}', "ctx: Extra inputs are not permitted"),
        ('{"order": ', "Invalid JSON"),
        ("[]", "arguments: Input should be an object"),
    ],
)
def test_wrong_arguments_are_an_error_written_for_the_model(arguments: str, fault: str) -> None:
    with pytest.raises(InvalidRequest, match=fault):
        refund.parse(arguments)


def test_calling_a_tool_calls_its_function() -> None:
    assert Tool(lambda: "x", name="x")() == "x"


def test_a_parameter_without_a_type_is_refused_at_declaration() -> None:
    with pytest.raises(ConfigError, match="Parameter 'order' of tool 'bad' has no type"):

        @tool
        def bad(order) -> str:  # type: ignore[no-untyped-def]
            return ""


def test_star_arguments_are_refused_at_declaration() -> None:
    with pytest.raises(ConfigError, match="named, typed parameters only"):

        @tool
        def bad(*orders: str) -> str:
            return ""


def test_an_agent_refuses_a_bare_function_and_two_tools_of_one_name() -> None:
    app = App("a")
    with pytest.raises(ConfigError, match=r"is no tool\. Decorate the function with @app.tool"):
        app.agent("x", model="m", tools=[len])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="two tools named 'refund'"):
        app.agent("x", model="m", tools=[refund, refund])


def test_an_unknown_agent_suggests_the_right_one() -> None:
    app = App("a")
    app.agent("support", model="m")
    with pytest.raises(ConfigError, match=r"no agent 'suport'\. Did you mean 'support'"):
        app.find_agent("suport")


def test_a_collections_search_is_a_tool() -> None:
    search = App("a").collection("hand-book").search
    assert search.name == "search_hand_book"
    assert search.context_name == "ctx"
    assert search.spec.parameters["required"] == ["query"]


def test_the_context_is_never_part_of_the_schema() -> None:
    @tool
    async def look(context: AsyncContext, what: str) -> str:
        return what

    assert set(look.spec.parameters["properties"]) == {"what"}
    assert look.is_async


@pytest.mark.parametrize("value", [1, "a", None, True, [1, {"a": 2.5}]])
def test_a_steps_value_is_plain_json(value: object) -> None:
    assert step_value("s", value)


@pytest.mark.parametrize("value", [(1,), {1, 2}, Address(street="x"), {1: 2}])
def test_a_value_that_json_would_bring_back_changed_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest, match="does not bring back as it was"):
        step_value("s", value)
