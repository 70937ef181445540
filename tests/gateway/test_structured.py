"""Answers that must be JSON: mended, checked, asked for again, moved on, or refused with their raw text."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.core import ids
from mooring.gateway.config import GatewayConfig, ModelConfig, ProviderConfig
from mooring.gateway.json_schema import problems
from mooring.gateway.mending import mended, partial
from mooring.gateway.route_config import FactsConfig
from mooring.verify.structured import CLEAR, SCHEMA, UNCLEAR, _value

from .house import Answer, House, default_config, house, say, sim_prices

GOOD = '{"name":"a","count":1}'
SMALL = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["name", "count"],
}
FORM = {"type": "json_schema", "json_schema": {"name": "small", "schema": SMALL}}


@pytest.mark.parametrize("name", CLEAR)
def test_what_is_meant_is_mended(name: str) -> None:
    value = _value(random.Random(3))
    found = mended(CLEAR[name](value))
    assert found is not None
    assert json.loads(found) == value | ({"name": value["name"].replace("Lot ", "Lot\n")} if "break" in name else {})


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_has_lost_something_or_is_of_another_shape_is_not_passed(name: str) -> None:
    found = mended(UNCLEAR[name](_value(random.Random(3))))
    assert found is None or problems(json.loads(found), SCHEMA)


@pytest.mark.parametrize("text", ['{"a": "b', '{"a":', '{"a": tr', "{]", "", "no", "{'a': 'b}", '{"a" 1}', "{a b}"])
def test_a_text_that_ends_inside_a_token_is_not_guessed_at(text: str) -> None:
    assert mended(text) is None


def test_json_that_is_being_written_is_read_as_far_as_it_is_complete() -> None:
    whole = '{"a": [1, {"b": "c d"}], "e": true}'
    seen = [partial(whole[:end]) for end in range(1, len(whole) + 1)]
    assert seen[0] is None or seen[0] == {}
    assert seen[-1] == json.loads(whole)
    assert {"a": [1, {"b": "c d"}]} in seen


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": ["string", "null"]}, None, []),
        ({"type": "integer"}, True, ["$ must be integer"]),
        ({"type": "integer"}, 2.0, []),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 5}, 7, ["$ is above 5"]),
        ({"minLength": 3, "pattern": "^a"}, "b", ["$ is shorter than 3", "$ does not match '^a'"]),
        ({"enum": [1, "x"]}, True, ["$ must be one of [1, 'x']"]),
        ({"const": 0}, False, ["$ must be 0"]),
        ({"items": {"type": "string"}, "maxItems": 1}, ["a", 2], ["$ is longer than 1", "$[1] must be string"]),
        ({"prefixItems": [{"type": "string"}], "items": False}, ["a", 2], ["$[1] must not be there"]),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, ["$ fits none of the shapes that are allowed"]),
        ({"oneOf": [{"minimum": 1}, {"minimum": 2}]}, 3, ["$ must fit exactly one of the shapes that are allowed"]),
        ({"not": {"type": "string"}}, "a", ["$ has a shape that is not allowed"]),
        ({"allOf": [{"required": ["a"]}]}, {}, ["$ lacks 'a'"]),
        ({"additionalProperties": {"type": "string"}}, {"a": 1}, ["$.a must be string"]),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "null"}}}, 1, ["$ must be null"]),
        ({"$ref": "#/$defs/none"}, 1, []),
        ({"$ref": "#"}, 1, []),
        ({"pattern": "(?!x)"}, "x", []),
        (False, 1, ["$ must not be there"]),
        (SCHEMA, _value(random.Random(1)), []),
    ],
)
def test_a_value_fits_or_the_place_is_named(schema: Any, value: Any, expected: list[str]) -> None:
    assert problems(value, schema) == expected


# Through the gateway --------------------------------------------------------------------


def config(url: str) -> GatewayConfig:
    facts = {"sloppy-plain": FactsConfig(json_output="none")}
    provider = ProviderConfig(type="sim", base_url=f"{url}/v1", prices=sim_prices(), facts=facts)
    models = {
        "held": ModelConfig(targets=("sim/sloppy",), repairs=1),
        "moved": ModelConfig(targets=("sim/sloppy", "sim/json"), repairs=0),
        "refused": ModelConfig(targets=("sim/sloppy",), repairs=0),
        "told": ModelConfig(targets=("sim/sloppy-plain",), repairs=1),
        "free": ModelConfig(targets=("sim/sloppy",)),
    }
    return default_config(url, models=models).model_copy(update={"providers": {"sim": provider}})


async def ask(home: House, text: str, model: str, **more: Any) -> tuple[Answer, list[tuple[str, str]]]:
    answer = await home.ask(say(text, model=model, response_format=FORM, **more))
    call = ids.read("call", answer.headers["x-mooring-call"])
    attempts = await home.journal.attempts("default", call)
    return answer, [(attempt.reason, attempt.outcome) for attempt in attempts]


def test_the_ladder_is_climbed_as_far_as_it_must_and_every_step_is_billed(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            answer, steps = await ask(home, GOOD, "held")
            assert (answer.text, steps) == (GOOD, [("first", "completed")])
            answer, steps = await ask(home, f"Sure!\n```json\n{GOOD}\n```", "held")
            assert (answer.text, steps) == (GOOD, [("first", "completed")])
            answer, steps = await ask(home, '{"name": "a"}', "held")
            assert not problems(json.loads(answer.text), SMALL)
            assert steps == [("first", "failed"), ("repair", "completed")]
            sent = msgspec.json.decode(home.sim.requests[-1].body)["messages"]
            assert [message["role"] for message in sent] == ["user", "assistant", "user"]
            assert sent[2]["content"] == "That does not fit: $ lacks 'count'. Answer again, with the JSON alone."
            answer, steps = await ask(home, "no JSON", "moved")
            assert not problems(json.loads(answer.text), SMALL)
            assert steps == [("first", "failed"), ("fallback", "completed")]
            assert await home.bill() == (await home.meter(), 0)
            assert all(row["state"] == "well" for row in home.gateway.targets())

    asyncio.run(scene())


def test_at_the_end_of_the_ladder_the_error_carries_the_raw_text(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            answer, steps = await ask(home, "I would rather not.", "refused")
            assert (answer.status, answer.json["error"]["code"]) == (502, "output_invalid")
            assert answer.json["error"]["message"] == (
                "The answer does not fit what was asked for: it is not JSON. It was: I would rather not."
            )
            assert steps == [("first", "failed")]
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


def test_an_answer_that_was_cut_at_its_limit_is_never_mended(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            answer, _ = await ask(home, '{"name": "a", "count": 1, "more": ["x", "y"', "refused", max_tokens=9)
            assert (answer.status, answer.json["error"]["code"]) == (502, "output_invalid")
            assert "cut at its limit" in answer.json["error"]["message"]

    asyncio.run(scene())


def test_a_target_without_a_json_mode_is_told_the_schema_in_words(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            answer, _ = await ask(home, GOOD, "told")
            assert answer.text == GOOD
            sent = msgspec.json.decode(home.sim.requests[-1].body)
            assert "response_format" not in sent
            assert "It must fit this JSON Schema" in sent["messages"][0]["content"]

    asyncio.run(scene())


def test_without_the_setting_and_in_streams_answers_pass_as_they_are(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            answer, _ = await ask(home, "no JSON", "free")
            assert answer.text == "no JSON"
            answer, _ = await ask(home, "no JSON", "held", stream=True)
            assert answer.stream_text == "no JSON"

    asyncio.run(scene())
