"""What the documentation shows is so: programs run, commands exist, settings load, links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from tests.docs.pages import ROOT, Program, anchors, blocks_of, commands, links, pages, programs

from mooring import config
from mooring.cli.cli import mooring
from mooring.core.errors import MooringError
from mooring.rag.sidecar import SIDECAR, read_sidecar
from mooring.verify.house import House


def test_every_program_runs_and_prints_what_its_page_shows(documented_house: House, tmp_path: Path) -> None:
    found = programs()
    wrong = [fault for number, one in enumerate(found) if (fault := run(one, documented_house, tmp_path / str(number)))]
    assert len(found) >= 5
    assert not wrong, "\n\n".join(wrong)


def run(program: Program, house: House, folder: Path) -> str | None:
    """Runs it as a user would, in an empty folder; what went wrong, if anything did."""
    folder.mkdir()
    (folder / program.name).write_text(program.block.text, encoding="utf-8")
    environment = {
        **os.environ,
        "MOORING_HOME": str(house.home.path),
        "MOORING_CONFIG": str(house.config_path),
        "OPENAI_BASE_URL": f"{house.url}/v1",
        "OPENAI_API_KEY": house.key,
    }
    done = subprocess.run(
        [sys.executable, program.name],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        return f"{program.block.place} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    if program.prints is not None and not matches(program.prints, done.stdout):
        return f"{program.block.place} prints\n{done.stdout}instead of\n{program.prints}"
    return None


def matches(shown: str, printed: str) -> bool:
    """`…` on a page stands for anything within a line."""
    pattern = "".join("[^\n]*" if part == "…" else re.escape(part) for part in re.split("(…)", shown.strip()))
    return re.fullmatch(pattern, printed.strip()) is not None


def test_every_mooring_command_exists_with_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        click.Path, "convert", lambda self, value, param, ctx: value
    )  # files of examples need not exist
    shown = [(block.place, words) for block in blocks_of("sh") for line in commands(block) if (words := verb(line))]
    wrong = [f"{place}: mooring {' '.join(words)}: {fault}" for place, words in shown if (fault := misread(words))]
    assert len(shown) >= 20
    assert not wrong, "\n".join(wrong)


def verb(line: str) -> list[str]:
    """The words after `mooring`, where the command is ours."""
    words = [word for word in shlex.split(re.sub(r"[<>].*$|&$", "", line)) if word != "$"]
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    return words[1:] if words and words[0].rpartition("/")[2] == "mooring" else []


def misread(words: list[str]) -> str | None:
    """Parses a command line without calling the command; what click objects to."""
    command: click.Command = mooring
    name, parent = "mooring", None
    try:
        while True:
            parent = command.make_context(name, list(words), parent=parent)
            rest = [*parent._protected_args, *parent.args]
            if not isinstance(command, click.Group) or not rest:
                return None
            found_name, found, words = command.resolve_command(parent, rest)
            assert found is not None
            name, command = found_name or "", found
    except click.exceptions.Exit:
        return None  # --help, --version
    except click.ClickException as error:
        return error.format_message()


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {line.split()[1] for block in blocks_of("sh") for line in commands(block) if line.startswith("make ")}
    assert {"demo", "test"} <= named <= targets


def test_every_settings_example_is_valid(tmp_path: Path) -> None:
    wrong = []
    for block in blocks_of("toml"):
        try:
            if block.words[1:] == (SIDECAR,):
                (tmp_path / SIDECAR).write_text(block.text)
                read_sidecar(tmp_path / SIDECAR, SIDECAR)
                continue
            config.parse(tomllib.loads(block.text), {}, origin=block.place)
        except (MooringError, tomllib.TOMLDecodeError) as error:
            wrong.append(f"{block.place}: {error}")
    assert not wrong, "\n".join(wrong)


def test_every_link_leads_somewhere() -> None:
    wrong = []
    for page in pages():
        for target in links(page):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists():
                wrong.append(f"{page.relative_to(ROOT)}: {target} does not exist")
            elif anchor and anchor not in anchors(file):
                wrong.append(f"{page.relative_to(ROOT)}: {target} has no such heading")
    assert not wrong, "\n".join(wrong)


def test_decisions_are_numbered_from_one_without_a_gap_and_titled_by_their_number() -> None:
    found = sorted((ROOT / "docs" / "decisions").iterdir())
    numbers = [int(page.name.partition("-")[0]) for page in found]
    assert numbers == list(range(1, len(found) + 1)), "a record takes the number behind the last one"
    untitled = [page.name for page, number in zip(found, numbers, strict=True) if not titled(page, number)]
    assert not untitled, f"their first line is not '# <number>. <title>': {untitled}"


def titled(page: Path, number: int) -> bool:
    return page.read_text(encoding="utf-8").startswith(f"# {number}. ")


def test_every_straight_line_of_the_architecture_leads_to_code() -> None:
    table = (
        (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Where to read")[2].rpartition("\n\n")[0]
    )
    named = re.findall(r"`([\w/]+(?:\.py|/))`(?:, `(\w+)`)?", table)
    wrong = [f"{path} {function}" for path, function in named if not stands(ROOT / "src" / "mooring" / path, function)]
    assert len(named) > 40
    assert not wrong


def stands(path: Path, function: str) -> bool:
    return path.is_dir() or (path.is_file() and f"def {function}" in path.read_text(encoding="utf-8"))


def test_every_how_to_page_is_linked_from_the_readme() -> None:
    named = set(links(ROOT / "README.md"))
    assert not [page.name for page in (ROOT / "docs" / "how-to").iterdir() if f"docs/how-to/{page.name}" not in named]
