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
