"""Finding traces and sums from the command line."""

from typing import Any

from tests.cli.conftest import queued_run


def test_a_recorded_run_is_listed_found_by_its_words_and_summed(cli: Any, recorded: str) -> None:
    listed = cli("trace", "list", "--json").json
    assert [one["run"] for one in listed["data"]] == [recorded]
    assert listed["next"] is None
    assert recorded in cli("trace", "list", "--text", "delivered", "--state", "completed").out
    assert cli("trace", "list", "--user", "nobody").out.startswith("No trace matches.")
    assert recorded in cli("trace", recorded).out.replace("\n", "")
    assert "calls and runs read" in cli("trace", "rebuild").out
    assert [one["run"] for one in cli("trace", "list", "--json").json["data"]] == [recorded]
    model, tool = cli("cost", "report", "--by", "model", "--json").json["lines"]
    assert (model["value"], model["failed"], tool["value"]) == ("sim/agent", 0, "look_up")
    assert recorded in cli("runs", "list", "--agent", "support", "--since", "1h").out


def test_what_cannot_be_meant_is_said(cli: Any, folder: Any) -> None:
    queued_run()
    assert "is no time" in cli("trace", "list", "--since", "soon").err
    assert "Did you mean 'failed'?" in cli("trace", "list", "--state", "fail").err
    assert cli("trace", "list", "--before", "xyz").code == 2
    assert cli("cost", "report", "--user", "u_1").out == "Nothing was spent.\n"
    assert "mooring trace list" in cli("trace", "abc").err
    assert cli("runs", "list", "--user", "u_1").out == "No run matches.\n"
    assert "list" in cli("trace", "--help").out


def test_what_was_spent_is_priced_elsewhere_and_an_unknown_price_is_said(cli: Any, recorded: str) -> None:
    told = cli(
        "cost", "whatif", "openai/gpt-5-mini", "openai/none-such", "--input-usd", "1", "--output-usd", "2", "--json"
    )
    (line,) = told.json["lines"]
    assert line["target"] == "sim/agent"
    assert told.json["would_be_nanos"]["openai/none-such"] is None
    assert told.json["would_be_nanos"]["openai/gpt-5-mini"] > 0
    shown = cli("cost", "whatif", "openai/gpt-5-mini", "openai/none-such")
    assert "openai/none-such: unknown; set its price" in shown.out
    assert "openai/gpt-5-mini: $0.0" in shown.out
    assert "tokenizer" in shown.err
    assert cli("cost", "whatif", "local/x", "--target", "sim/other").out == "No chat call was settled since then.\n"
    assert "Name a MODEL" in cli("cost", "whatif").err
    assert "go together" in cli("cost", "whatif", "--input-usd", "1").err
    assert "such as 0.25" in cli("cost", "whatif", "--input-usd", "x", "--output-usd", "1").err
    assert "There is no model 'opnai/x'" in cli("cost", "whatif", "opnai/x").err
    assert "is no time" in cli("cost", "whatif", "local/x", "--since", "soon").err
