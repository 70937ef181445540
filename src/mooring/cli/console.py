"""The console script: runs a verb, and turns whatever goes wrong into one line that says what to do, and a number."""

import json
import os
import sys
import traceback
from typing import Any

import click

from mooring.core.errors import MooringError

from .cli import mooring
from .exits import Exit, exit_of


class _Problem(Exception):
    """Something that went wrong, as it is told."""

    def __init__(self, exit_code: Exit, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.exit_code, self.code, self.message, self.hint = exit_code, code, message, hint


def main() -> None:
    """Ends with the exit codes of `exits.py`, never with a traceback for what a user can mend."""
    sys.exit(_outcome())


def _outcome() -> int:
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        return _unread()
    except _Problem as problem:
        return _tell(problem)
    return code


def _run() -> int:
    """The verb's own exit code.

    Raises:
        _Problem: it did not come to one.
    """
    stdout = sys.stdout
    try:
        code = mooring(standalone_mode=False)
    except SystemExit as leaving:
        if sys.stdout is not stdout:  # click saw a closed pipe, put a silent one there, and ends with 1
            raise BrokenPipeError from None
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except (click.Abort, KeyboardInterrupt):
        raise _Problem(Exit.INTERRUPTED, "interrupted", "Interrupted.") from None
    except click.ClickException as error:
        raise _usage(error) from None
    except MooringError as error:
        raise _Problem(exit_of(error), error.code, error.message, error.hint) from error
    except BrokenPipeError:
        raise
    except OSError as error:  # a file or folder that the user named, or their home
        is_named = error.filename and error.strerror  # an HTTP error is an OSError with a name and without words
        what = f"{error.filename}: {error.strerror}." if is_named else f"The system says: {error}."
        raise _Problem(Exit.FAILED, "os_error", what, "Check that it exists, and that you may use it.") from error
    except Exception as error:  # edge: nothing is above a command line
        traceback.print_exc()
        hint = "This is a defect: please report it with the lines above."
        raise _Problem(Exit.FAILED, "internal_error", f"{type(error).__name__}: {error}", hint) from error
    return code if isinstance(code, int) else 0


def _usage(error: click.ClickException) -> _Problem:
    """A wrong command line, with the help that would have told."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "mooring"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return _Problem(Exit.WRONG, "usage", f"`{path}` needs one of its verbs.", f"See: {path} --help")
    message = " ".join(error.format_message().split())
    return _Problem(Exit.WRONG, "usage", message, f"See: {path} --help")


def _tell(problem: _Problem) -> int:
    """One line for people; with `--json` a document too."""
    error: dict[str, Any] = {"code": problem.code, "message": problem.message, "hint": problem.hint}
    try:
        if _wants_json():
            click.echo(json.dumps({"error": error}, ensure_ascii=False))
        if problem.exit_code == Exit.INTERRUPTED:
            click.echo("", err=True)
        else:
            line = f"{problem.message} {problem.hint}" if problem.hint else problem.message
            click.echo(f"mooring: {line}", err=True)
    except (BrokenPipeError, OSError):  # nobody listens any more
        _unread()
    return problem.exit_code


def _wants_json() -> bool:
    """Looked up in the words themselves: they may be the very thing that could not be understood."""
    words = sys.argv[1:]
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def _unread() -> int:
    """`mooring runs | head -1`: who read has read enough. What is still buffered goes nowhere, silently."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return Exit.UNREAD
