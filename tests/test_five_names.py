"""File name = registered name = `type` in the config = test file = row in the reference docs, for every plug-in."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Family folder under src/mooring, the attribute that each plug-in module exports, its page of the reference.
FAMILIES = [
    ("gateway/providers", "Provider", "providers"),
    ("guardrails/checks", "Check", "checks"),
    ("rag/loaders", "loader", "loaders"),
    ("rag/splitters", "split", "splitters"),
]


def files(family: str) -> list[str]:
    folder = ROOT / "src/mooring" / family
    assert folder.is_dir(), (
        f"The folder {folder.relative_to(ROOT)} is missing: each plug-in of the family is a file in it."
    )
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def rows(page: str) -> list[str]:
    """The names in the first column of the page's tables."""
    path = ROOT / f"docs/reference/{page}.md"
    assert path.is_file(), (
        f"The page {path.relative_to(ROOT)} is missing: it needs a table row `| `name` | … |` per plug-in."
    )
    return sorted(re.findall(r"^\| `([a-z0-9_]+)` \|", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize(("family", "attribute", "page"), FAMILIES)
def test_every_plug_in_exports_what_its_registry_asks_for(family: str, attribute: str, page: str) -> None:
    package = "mooring." + family.replace("/", ".")
    for name in files(family):
        assert hasattr(importlib.import_module(f"{package}.{name}"), attribute), (
            f"{family}/{name}.py exports no '{attribute}'; name its class so."
        )


@pytest.mark.parametrize(("family", "attribute", "page"), FAMILIES)
def test_every_plug_in_has_a_test_file_of_its_name(family: str, attribute: str, page: str) -> None:
    room, folder = family.split("/")
    for name in files(family):
        places = [f"tests/{room}/{folder}/test_{name}.py", f"tests/{room}/test_{name}.py"]
        assert any((ROOT / place).is_file() for place in places), (
            f"{family}/{name}.py needs a test: {' or '.join(places)}."
        )


@pytest.mark.parametrize(("family", "attribute", "page"), FAMILIES)
def test_every_plug_in_has_a_row_in_the_reference_and_no_row_is_stale(family: str, attribute: str, page: str) -> None:
    assert rows(page) == files(family), f"docs/reference/{page}.md and src/mooring/{family}/ name different plug-ins."


def test_a_checks_type_in_the_config_is_its_file_name() -> None:
    guardrails = importlib.import_module("mooring.guardrails.guardrails")
    assert guardrails.registry.names() == files("guardrails/checks")
    config = importlib.import_module("mooring.guardrails").GuardrailsConfig(
        checks=tuple({"type": name} for name in files("guardrails/checks"))
    )
    importlib.import_module("mooring.guardrails").Guardrails(config)
