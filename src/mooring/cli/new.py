"""`new`: an app to begin with, which works and is tested before anything is configured."""

import os
from pathlib import Path

import click

from .output import examples, json_option, note, print_json

APP = '''"""NAME: an agent with one tool. `python app.py` runs it."""

from mooring import App

app = App("NAME")


@app.tool(touches="read")
def look_up(order: str) -> str:
    """Look up an order."""
    return f"order {order}: a lamp, delivered on Monday"


agent = app.agent("NAME", model="assistant", tools=[look_up])

if __name__ == "__main__":
    run = agent.run("Where is order 81?")
    print(run.state, run.output)
'''

TEST = '''"""NAME does what it should: offline, with the simulated model."""

from app import agent, look_up


def test_an_order_is_looked_up() -> None:
    assert look_up("81") == "order 81: a lamp, delivered on Monday"


def test_the_agent_answers_with_what_its_tool_found() -> None:
    run = agent.run("Where is order 81?")
    assert run.state == "completed"
    assert "delivered on Monday" in run.output
'''

CONFIG = """\
[gateway.models.assistant]      # the app's name for its model
targets = ["sim/agent"]         # a real one, with its key in the environment: "openai/gpt-5-mini"

[gateway.providers.sim]         # simulated and offline: calls each tool once, then sums up
type = "sim"
prices = { "*" = { input_usd = "0.25", output_usd = "2" } }
"""

README = """\
# NAME

    python app.py                     # runs the agent once
    mooring up --app app.py --reload  # serves it, and follows your edits
    mooring trace last                # what the last run did, and what it cost
    pytest                            # its tests, offline

The model is simulated until `mooring.toml` names another.
"""

FILES = {"app.py": APP, "test_app.py": TEST, "mooring.toml": CONFIG, "README.md": README}
NAME_PATTERN = r"[a-z][a-z0-9_-]{0,40}"


@click.command("new", epilog=examples("mooring new shop"))
@click.argument("name", metavar="NAME")
@json_option("folder", "files")
def new_command(name: str, as_json: bool) -> None:
    """Make the folder NAME with a small app, its test and its configuration."""
    make(Path(name))
    if as_json:
        print_json({"folder": str(Path(name).resolve()), "files": list(FILES)})
        return
    click.echo(f"{name}/ has {', '.join(FILES)}. Next:")
    click.echo(f"  cd {name} && python app.py")
    for variable in ("MOORING_URL", "MOORING_HOME"):
        if os.environ.get(variable):
            note(f"{variable} is set: the app would be run by that server, which knows nothing of {name}/mooring.toml.")
            note(f"To use its own: unset {variable}")


def make(folder: Path) -> None:
    """Writes the files; nothing that is there is touched.

    Raises:
        ConfigError: the name cannot be an app's, or something is in the way.
    """
    import re

    from mooring.core.errors import ConfigError

    if not re.fullmatch(NAME_PATTERN, folder.name):
        raise ConfigError(
            f"'{folder.name}' cannot be the name of an app.",
            hint="Lower-case letters, digits, - and _, a letter first.",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} exists and is not empty.", hint="Choose another name, or remove it.")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in FILES.items():
        (folder / file).write_text(text.replace("NAME", folder.name), encoding="utf-8")
    # Its data is its own, also below a folder whose server has another configuration.
    (folder / ".mooring").mkdir(mode=0o700)
