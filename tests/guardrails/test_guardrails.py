"""The pipeline: configuration, masks in every string leaf, and arguments that hide nothing."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from mooring.core.errors import ConfigError
from mooring.core.events import (
    TextDelta,
)
from mooring.core.messages import (
    ChatRequest,
    ChatResponse,
    Choice,
    MediaPart,
    Message,
    OutputFormat,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from mooring.core.usage import Usage
from mooring.guardrails import (
    BlockedByCheck,
    GuardContext,
    Guardrails,
    GuardrailsConfig,
)
from mooring.guardrails.secret_samples import samples

CONTEXT = GuardContext("p")
KEY = samples()["api_key"]
MASK = "[masked:api_key]"


def guards(*sections: dict[str, Any]) -> Guardrails:
    return Guardrails(GuardrailsConfig(checks=sections or ({"type": "secrets_mask"},)))


def answer(*parts: Part, finish: Any = "stop") -> ChatResponse:
    return ChatResponse("i", "m", (Choice(0, Message("assistant", parts), finish),), usage=Usage(1, 2))


# configuration


def test_with_nothing_configured_everything_passes_as_the_same_object() -> None:
    nothing = Guardrails(GuardrailsConfig())
    request, response = ChatRequest("m", (Message("user", (TextPart(KEY),)),)), answer(TextPart(KEY))
    assert asyncio.run(nothing.check_input(request, CONTEXT)).value is request
    assert asyncio.run(nothing.check_output(response, CONTEXT)).value is response
    guard = nothing.stream(CONTEXT)
    assert guard.is_idle
    event = TextDelta(KEY)
    assert guard.feed(event) == [event]


def test_a_typo_in_a_checks_name_suggests_the_right_one() -> None:
    with pytest.raises(ConfigError) as caught:
        guards({"type": "secret_mask"})
    assert str(caught.value) == "Unknown check 'secret_mask'. Did you mean 'secrets_mask'?"


def test_a_wrong_option_names_the_entry_and_what_the_check_knows() -> None:
    with pytest.raises(ConfigError, match=r"guardrails\.checks\[1\]\.colour: unknown key\. Known: action, "):
        guards({"type": "size_limit"}, {"type": "secrets_mask", "colour": "red"})


def test_an_entry_without_a_type_lists_the_checks() -> None:
    with pytest.raises(ConfigError, match=r"has no 'type'.*secrets_mask"):
        guards({"action": "mask"})


def test_the_policy_hash_changes_with_the_policy_and_only_then() -> None:
    assert (
        guards().policy_hash == guards().policy_hash == guards({"type": "secrets_mask", "action": "mask"}).policy_hash
    )
    assert guards().policy_hash != guards({"type": "secrets_mask", "action": "block"}).policy_hash
    assert guards({"type": "size_limit"}, {"type": "secrets_mask"}).policy_hash != guards().policy_hash


def test_a_check_runs_only_at_its_stages() -> None:
    only_answers = guards({"type": "secrets_mask", "stages": ["output"]})
    request = ChatRequest("m", (Message("user", (TextPart(KEY),)),))
    assert not asyncio.run(only_answers.check_input(request, CONTEXT)).is_changed
    assert asyncio.run(only_answers.check_output(answer(TextPart(KEY)), CONTEXT)).value.text == MASK


# requests


def test_every_string_leaf_of_a_request_is_seen() -> None:
    secret = f"x {KEY} y"
    request = ChatRequest(
        "m",
        (
            Message("system", (TextPart(secret),), name=secret),
            Message(
                "assistant",
                (ThinkingPart(secret), RefusalPart(secret), ToolCallPart("1", secret, f'{{"a":["{KEY}"]}}')),
            ),
            Message("tool", (ToolResultPart("1", (TextPart(secret), MediaPart("file", name=secret)), name=secret),)),
            Message("user", (MediaPart("image", url=f"https://example.com/{KEY}"),)),
        ),
        tools=(ToolSpec(secret, secret, {"properties": {KEY: {"default": secret}}}),),
        output=OutputFormat("json_schema", schema={"const": secret}, name=secret),
        stop=(secret,),
        user=secret,
        metadata={"a": secret},
        extra={"deep": [{"er": [1, None, secret]}]},
    )
    checked = asyncio.run(guards().check_input(request, CONTEXT))
    assert checked.is_changed
    told = msgspec.json.encode(checked.value).decode()
    assert KEY not in told
    assert told.count(MASK) == msgspec.json.encode(request).decode().count(KEY)
    assert KEY not in repr([verdict.facts() for verdict in checked.verdicts])


def test_media_bytes_are_left_alone() -> None:
    image = MediaPart("image", data="AAAA" + KEY.replace("-", "") + KEY, media_type="image/png")
    inline = MediaPart("image", url="data:image/png;base64,AAAA" + KEY)
    request = ChatRequest("m", (Message("user", (image, inline)),))
    assert asyncio.run(guards().check_input(request, CONTEXT)).value is request


def test_a_clean_request_is_the_same_object() -> None:
    request = ChatRequest(
        "m", (Message("user", (TextPart('C:\\new "x" é'), ToolCallPart("1", "f", '{"a":"b\\\\n"}'))),)
    )
    checked = asyncio.run(guards().check_input(request, CONTEXT))
    assert checked.value is request
    assert not checked.is_changed


@pytest.mark.parametrize("kind", sorted(samples()))
def test_the_short_cut_over_the_whole_request_misses_no_kind(kind: str) -> None:
    request = ChatRequest("m", (Message("user", (TextPart(f'é "{samples()[kind]}"'),)),))
    assert f"[masked:{kind}]" in asyncio.run(guards().check_input(request, CONTEXT)).value.messages[0].text


# tool arguments

HIDDEN = "".join(f"\\u{ord(character):04x}" for character in KEY[:4]) + KEY[4:]


@pytest.mark.parametrize(
    ("arguments", "clean"),
    [
        (f'{{"k": "{KEY}"}}', f'{{"k":"{MASK}"}}'),
        (f'{{"k": "{HIDDEN}", "n": 1.50}}', f'{{"k":"{MASK}","n":1.5}}'),
        (f'{{"{HIDDEN}": [null, true]}}', f'{{"{MASK}":[null,true]}}'),
        (f'{{"k": "{KEY}", "k": "later wins"}}', '{"k":"later wins"}'),
        (f'{{"k": "{HIDDEN}", "k": "later wins"}}', '{"k":"later wins"}'),
        (json.dumps({"inner": json.dumps({"deep": "PLACE"})}).replace("PLACE", HIDDEN.replace("\\", "\\\\")), None),
        (f'{{"k": "{KEY}', None),
        (f'{{"k": "{HIDDEN}', None),
        (f'"{HIDDEN}"', f'"{MASK}"'),
    ],
)
def test_no_way_of_writing_json_hides_a_secret_in_arguments(arguments: str, clean: str | None) -> None:
    got = guards().check_tool_call(ToolCallPart("1", "f", arguments), CONTEXT).value.arguments
    assert got == clean if clean else MASK in got
    assert KEY[5:] not in got
    whole = asyncio.run(guards().check_output(answer(ToolCallPart("1", "f", arguments)), CONTEXT)).value
    assert whole.choices[0].message.tool_calls[0].arguments == got


def test_harmless_arguments_keep_their_very_bytes() -> None:
    for arguments in (
        '{ "a" : 1.0, "b": "\\u00e9\\n" }',
        "",
        "not json",
        '{"a":1,"a":2}',
        '{"n": 123456789012345678901234567890}',
    ):
        call = ToolCallPart("1", "f", arguments)
        assert guards().check_tool_call(call, CONTEXT).value is call


def test_arguments_nested_too_deeply_to_be_read_are_refused() -> None:
    bomb = '{"k":"' + KEY + '","d":' + "[" * 100_000 + "]" * 100_000 + "}"
    with pytest.raises(BlockedByCheck, match="nested"):
        guards().check_tool_call(ToolCallPart("1", "f", bomb), CONTEXT)


def test_numbers_survive_the_masking_of_their_neighbours() -> None:
    got = guards().check_tool_call(ToolCallPart("1", "f", f'{{"k":"{KEY}","n":123456789012345678901}}'), CONTEXT)
    assert got.value.arguments == f'{{"k":"{MASK}","n":123456789012345678901}}'
