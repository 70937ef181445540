"""What every room's tests share: the databases, and the line in the summary when one of them could not be tested."""

import sys
from pathlib import Path

import hypothesis
import pytest

# How fast examples are made says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("here", suppress_health_check=[hypothesis.HealthCheck.too_slow], deadline=None)
hypothesis.settings.load_profile("here")

ROOT = str(Path(__file__).parents[1])
if ROOT not in sys.path:  # so that a room's conftest can say `from tests.databases import …`
    sys.path.insert(0, ROOT)

from tests.databases import absences, database, database_url, postgres_url, sqlite_url  # noqa: E402

__all__ = ["database", "database_url", "postgres_url", "sqlite_url"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """An xdist worker has no terminal: it hands its reasons to the process that has."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["postgres_absences"] = list(absences)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Collect the reasons of an xdist worker."""
    absences.extend(getattr(node, "workeroutput", {}).get("postgres_absences", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly that half of the promises were not tested."""
    for reason in sorted(set(absences)):
        terminalreporter.section("POSTGRESQL WAS NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(reason)
        terminalreporter.line("Set MOORING_TEST_POSTGRES_URL, or install the wheel: make test does.")
