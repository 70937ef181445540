"""What nobody can know: a tool that must not run twice, a model call whose serve died; parked, listed, decided."""

import json
from typing import Any

import pytest

from .apps import SHOP
from .conftest import Open, Serve, Site, kill, until


def killed_in_the_mail(s: Site) -> tuple[Serve, str]:
    """A run that is parked because its worker died while it sent a mail."""
    serve = s.serve()
    s.worker(2)
    (s.folder / "hold-mail").touch()
    run = serve.start_run("never", "Write about order 81.")
    until((s.folder / "held-mail").exists, "the mail has been sent")
    (s.folder / "hold-mail").unlink()
    kill(s.owner(serve, run))
    serve.run_in(run, "parked")
    return serve, run


def listed(s: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(s.cli("runs", "uncertain", "--json"))
    return found


def test_a_never_tool_that_was_killed_waits_for_a_person_and_is_not_repeated(site: Open) -> None:
    with site(app=SHOP) as s:
        check_a_killed_never_tool(s)


@pytest.mark.soak
def test_and_so_does_a_never_tool_on_postgresql(site_on_postgres: Open) -> None:
    with site_on_postgres(app=SHOP) as s:
        check_a_killed_never_tool(s)


def check_a_killed_never_tool(s: Site) -> None:
    serve, run = killed_in_the_mail(s)
    (entry,) = listed(s)
    assert (entry["kind"], entry["run_id"]) == ("tool", run)
    s.cli("runs", "resolve", entry["call_id"], "--as", "completed", "--result", '"mail sent, says the log"')
    row = serve.run_in(run, "completed", "failed")
    assert row["state"] == "completed"
    assert "says the log" in row["output"]
    assert [effect["requests"] for effect in s.effects()] == [1]
    assert "identical" in s.cli("replay", run, "--verify")
    s.cli("runs", "resolve", entry["call_id"], "--as", "retry", code=5)  # it was decided


@pytest.mark.parametrize(("decision", "mails"), [pytest.param("failed", 1, marks=pytest.mark.soak), ("retry", 2)])
def test_the_other_decisions_about_a_never_tool_hold_too(site: Open, decision: str, mails: int) -> None:
    with site(app=SHOP) as s:
        serve, run = killed_in_the_mail(s)
        (entry,) = listed(s)
        s.cli("runs", "resolve", entry["call_id"], "--as", decision)
        assert serve.run_in(run, "completed", "failed")["state"] == "completed"  # the model is told, and goes on
        assert sum(effect["requests"] for effect in s.effects()) == mails
        assert "identical" in s.cli("replay", run, "--verify")


def test_a_model_call_whose_serve_was_killed_parks_its_run_until_somebody_decides(site: Open) -> None:
    with site(app=SHOP) as s:
        check_a_killed_model_call(s)


@pytest.mark.soak
def test_and_so_does_a_killed_model_call_on_postgresql(site_on_postgres: Open) -> None:
    with site_on_postgres(app=SHOP) as s:
        check_a_killed_model_call(s)


def check_a_killed_model_call(s: Site) -> None:
    first = s.serve()
    s.worker()
    s.plant(kind="stall_first_byte", model="agent-slow", release="cut")
    run = first.start_run("slow", "Look at order 81.")
    until(lambda: s.asked_of_double() == 1, "the model has been asked")
    first.kill()
    second = s.serve()
    second.run_in(run, "parked")
    (entry,) = listed(s)
    assert (entry["kind"], entry["run_id"]) == ("chat", run)
    assert s.asked_of_double() == 1  # nothing was repeated by itself
    s.release("cut")
    s.cli("runs", "resolve", entry["call_id"], "--as", "retry")
    assert second.run_in(run, "completed", "failed")["state"] == "completed"
    orphan = until(lambda: [row for row in s.meter() if row["attempt"] in entry["attempt_ids"]], "it was metered")
    bill = json.loads(s.cli("cost", "report", "--json"))
    assert bill["held_nanos"] >= orphan[0]["cost_nanos"]
    assert bill["settled_nanos"] <= s.metered_nanos() <= bill["settled_nanos"] + bill["held_nanos"]
    assert "identical" in s.cli("replay", run, "--verify")
    assert "verified" in s.cli("trace", run, "--verify")
    (s.folder / "export.csv").write_bytes(s.export())
    assert "1 held attempt settled" in s.cli("cost", "reconcile", str(s.folder / "export.csv"), "--complete")
    bill = json.loads(s.cli("cost", "report", "--json"))
    assert (bill["settled_nanos"], bill["held_nanos"]) == (s.metered_nanos(), 0)


def test_a_model_call_that_is_given_up_ends_its_run_with_an_error_that_says_why(site: Open) -> None:
    with site(app=SHOP) as s:
        first = s.serve()
        s.worker()
        s.plant(kind="stall_first_byte", model="agent-slow", release="cut")
        run = first.start_run("slow", "Look at order 81.")
        until(lambda: s.asked_of_double() == 1, "the model has been asked")
        first.kill()
        second = s.serve()
        second.run_in(run, "parked")
        s.release("cut")
        (entry,) = listed(s)
        s.cli("runs", "resolve", entry["call_id"], "--as", "failed")
        row = second.run_in(run, "completed", "failed")
        assert row["state"] == "failed"
        assert row["error"]["message"]
        assert s.asked_of_double() == 1
        until(lambda: len(s.meter()) == 1, "it was metered")
