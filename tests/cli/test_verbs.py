"""The verbs: what each one prints, and its JSON."""

from pathlib import Path

import pytest

from .conftest import Cli, queued_run, uncertain_call


def test_nothing_recorded_yet_is_said_with_what_to_do(cli: Cli, home: Path) -> None:
    assert cli("runs").out == "No runs yet. Start one: mooring run app.py\n"
    assert cli("runs", "list", "--json").json == []
    assert cli("runs", "uncertain").out == "Nothing is uncertain.\n"
    assert cli("runs", "uncertain", "--json").json == []
    assert cli("cost").out == "settled $0.000000000, held $0.000000000\n"
    assert cli("cost", "report", "--json").json["settled_nanos"] == 0
    assert cli("cost", "budgets").out == "No budget is set. Set one: mooring cost budget 25 --window month\n"
    assert cli("keys", "list").out == "No keys yet. Make one: mooring keys create\n"


def test_keys_are_created_listed_and_revoked(cli: Cli) -> None:
    secret = cli("keys", "create", "--name", "shop", "--scope", "call").out.strip()
    assert secret.startswith("mr_")
    listed = cli("keys", "list").out
    assert "active" in listed
    assert "call" in listed
    assert listed.rstrip().endswith("shop")
    assert secret not in listed
    assert listed.splitlines()[0].split() == ["KEY", "STATE", "SCOPES", "NAME"]
    key_id = listed.splitlines()[1].split()[0]
    assert cli("keys", "list", "--project", "other").out.startswith("No keys yet")
    assert cli("keys", "revoke", key_id, "--project", "other").code == 5
    assert cli("keys", "revoke", key_id).out == f"{key_id} is revoked.\n"
    assert "revoked" in cli("keys", "list").out
    assert cli("keys", "revoke", key_id).code == 5


def test_a_queued_run_is_listed_and_cancelled(cli: Cli) -> None:
    run = queued_run()
    assert cli("runs", "list").out.splitlines()[1].startswith(f"{run}  queued")
    [shown] = cli("runs", "list", "--json").json
    assert (shown["id"], shown["agent"], shown["input"]) == (run, "support", "Go.")
    assert cli("runs", "cancel", "last").out == f"{run} is cancelled.\n"
    assert cli("runs", "cancel", run).out == f"{run} is cancelled.\n"


@pytest.mark.parametrize("decision", ["completed", "failed", "retry"])
def test_an_uncertain_call_waits_for_a_decision(cli: Cli, decision: str) -> None:
    call = uncertain_call()
    listed = cli("runs", "uncertain")
    assert listed.out.splitlines()[1].split() == [call, "tool", "refund", "$0.000005000"]
    assert listed.err == "Decide with: mooring runs resolve CALL --as completed|failed|retry\n"
    [row] = cli("runs", "uncertain", "--json").json
    assert (row["call_id"], row["name"], row["held_nanos"]) == (call, "refund", 5_000)
    assert cli("runs", "resolve", call, "--as", decision).out.startswith(f"{call}: {decision}.")
    assert cli("runs", "uncertain").out == "Nothing is uncertain.\n"
    assert cli("runs", "resolve", call, "--as", decision).code == 5


def test_budgets_are_set_changed_and_listed(cli: Cli) -> None:
    assert cli("cost", "budget", "25").out == "project may spend $25.000000000 per month.\n"
    assert cli("cost", "budget", "0.50", "--scope", "user", "--subject", "u_1", "--window", "day").code == 0
    assert cli("cost", "budget", "30").code == 0
    lines = cli("cost", "budgets").out.splitlines()
    assert lines[0].split() == ["SCOPE", "SUBJECT", "WINDOW", "SETTLED", "HELD", "CAP"]
    assert sorted(line.split() for line in lines[1:]) == [
        ["project", "(all)", "month", "$0.000000000", "$0.000000000", "$30.000000000"],
        ["user", "u_1", "day", "$0.000000000", "$0.000000000", "$0.500000000"],
    ]


def test_a_budget_is_removed_by_none_and_listed_among_the_removed(cli: Cli) -> None:
    assert cli("cost", "budget", "25").code == 0
    assert cli("cost", "budget", "none").out == "project has no budget per month any more.\n"
    assert cli("cost", "budgets").out == "No budget is set. Set one: mooring cost budget 25 --window month\n"
    (row,) = cli("cost", "budgets", "--removed", "--json").json
    assert row["removed_at_us"]
    again = cli("cost", "budget", "none")
    assert (again.code, again.err) == (
        5,
        "mooring: There is no budget of project per month. See those that hold: mooring cost budgets\n",
    )


def test_what_is_held_is_settled_from_the_export_and_what_differs_fails(cli: Cli, folder: Path) -> None:
    call = uncertain_call()
    [row] = cli("runs", "uncertain", "--json").json
    [attempt] = row["attempt_ids"]
    (folder / "export.csv").write_text(f"attempt,cost_nanos\n{attempt},4000\nreq_unknown,1\n")
    result = cli("cost", "reconcile", "export.csv")
    assert result.code == 0
    assert "1 held attempt settled at $0.000004000" in result.out
    assert "In the export and not in the journal: 1 row: req_unknown" in result.out
    (folder / "export.csv").write_text(f"attempt,cost_nanos\n{attempt},4001\n")
    result = cli("cost", "reconcile", "export.csv")
    assert result.code == 1
    assert f"{attempt}: settled $0.000004000, metered $0.000004001" in result.out
    assert call in cli("runs", "uncertain").out


def test_documents_are_added_listed_and_removed(cli: Cli, folder: Path) -> None:
    docs = folder / "docs"
    docs.mkdir()
    (docs / "refunds.md").write_text("# Refunds\n\nRefunds take five days.\n")
    (docs / "tea.txt").write_text("Tea is served at four.\n")
    (docs / "photo.md").write_bytes(b"\xff\xfe\x00")
    added = cli("documents", "add", "docs")
    assert added.code == 0
    assert "default: 2 added, 0 changed, 0 unchanged, 0 removed, 1 unreadable; 2 passages" in added.err
    assert "2 unchanged" in cli("documents", "add", "docs").err
    listed = cli("documents", "list").out
    assert [line.split()[0] for line in listed.splitlines()] == ["PATH", "photo.md", "refunds.md", "tea.txt"]
    assert listed.splitlines()[1].split()[1] == "unreadable"
    assert cli("documents", "remove", "tea.txt").out == "1 removed from default.\n"
    assert cli("documents", "remove", "tea.txt").code == 5
    assert cli("documents", "remove", "docs").out == "2 removed from default.\n"
    assert cli("documents", "list").out == "No documents in default. Add some: mooring documents add FOLDER\n"
    assert (docs / "tea.txt").exists()


def test_a_full_disk_refuses_ingestion(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "docs").mkdir()
    monkeypatch.setattr("mooring.storage.ballast.Ballast.is_full", True)
    result = cli("documents", "add", "docs")
    assert result.code == 4
    assert result.err.startswith("mooring: The disk is full")


def test_a_question_is_answered_with_a_citation_by_a_temporary_server(cli: Cli, folder: Path) -> None:
    docs = folder / "docs"
    docs.mkdir()
    text = "# Refunds\n\nA refund takes five working days to reach the card that paid.\n"
    (docs / "refunds.md").write_text(text)
    result = cli("ask", "How many days does a refund take?", "--docs", "docs", "--json")
    assert result.code == 0, result
    [citation] = result.json["citations"]
    assert citation["path"] == "refunds.md"
    assert "five working days" in text[citation["start"] : citation["end"]]
    result = cli("ask", "Who is the captain of the ship?")
    assert result.code == 1
    assert "do not say" in result.out


def test_a_recorded_run_is_listed_traced_billed_and_replayed(cli: Cli, recorded: str) -> None:
    assert cli("runs").out.splitlines()[1].startswith(f"{recorded}  completed")
    trace = cli("trace", "last", "--verify")
    assert trace.code == 0, trace.err
    assert "look_up" in trace.out
    assert "verified" in trace.out
    shown = cli("trace", recorded, "--json", "--verify")
    assert shown.code == 0
    assert recorded in shown.out
    assert shown.json
    replayed = cli("replay", "last", "--verify")
    assert replayed.code == 0
    assert replayed.out.endswith("identical\n")
    assert cli("replay", recorded, "--json").json["is_identical"] is True
    bill = cli("cost", "report", "--json").json
    assert bill["settled_nanos"] > 0
    assert [line["target"] for line in bill["lines"] if line.get("settled_nanos")] == ["sim/agent"]
    assert "sim/agent" in cli("cost").out
    [run] = cli("runs", "list", "--json").json
    assert run["settled_nanos"] == bill["settled_nanos"]


def test_a_replay_whose_code_has_changed_names_the_step(cli: Cli, recorded: str, folder: Path) -> None:
    app = folder / "app.py"
    app.write_text(app.read_text().replace("was delivered", "is lost").replace("look_up", "look_for"))
    result = cli("replay", "last", "--verify")
    assert result.code == 1
    assert "step" in result.out + result.err


def test_a_script_runs_with_its_own_arguments_and_exit_code(cli: Cli, folder: Path) -> None:
    (folder / "script.py").write_text("import sys; sys.exit(len(sys.argv))")
    assert cli("run", "script.py", "a", "--b").code == 3


def test_a_tour_that_keeps_serving_has_no_document(cli: Cli) -> None:
    result = cli("demo", "--json")
    assert result.code == 2
    assert result.json["error"]["message"] == "--json goes with --once: a tour that keeps serving has no end."


def test_a_run_that_is_over_is_not_resumed_and_says_where_to_look(cli: Cli, recorded: str) -> None:
    result = cli("run", "--resume", recorded)
    assert result.code == 0
    assert (
        result.err == f"{recorded} was over already: nothing is left to resume. What it did: mooring trace {recorded}\n"
    )
    assert result.out.startswith(f"{recorded} is completed.\n")
