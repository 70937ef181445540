"""The one redactor: no sink shows a secret."""

import logging
import sys

import pytest

from mooring.guardrails import RedactingFilter, RedactingFormatter, Redactor
from mooring.guardrails.secret_samples import samples


@pytest.mark.parametrize("kind", sorted(samples()))
def test_every_kind_of_secret_is_taken_out_once_and_for_all(kind: str) -> None:
    redacted = Redactor()(f"failed: {samples()[kind]}.")
    assert f"[masked:{kind}]" in redacted
    assert Redactor()(redacted) == redacted


def test_the_servers_own_secrets_are_known_by_value() -> None:
    redactor = Redactor(("correct-horse", "correct-horse-battery"))
    assert redactor("a correct-horse-battery b correct-horse c") == "a [redacted] b [redacted] c"


def test_a_value_too_short_to_tell_from_words_is_refused() -> None:
    redactor = Redactor()
    assert not redactor.add("hunter")
    assert redactor("a hunter") == "a hunter"


def record(message: str, *args: object) -> logging.LogRecord:
    try:
        raise ValueError(f"no {samples()['api_key']}")
    except ValueError:
        info = sys.exc_info()
    return logging.LogRecord("mooring", logging.ERROR, __file__, 1, message, args, info)


def test_a_filtered_log_record_holds_no_secret_in_message_arguments_or_traceback() -> None:
    entry = record("key %s", samples()["github_token"])
    assert RedactingFilter(Redactor()).filter(entry)
    line = logging.Formatter().format(entry)
    assert "key [masked:github_token]" in line
    assert "ValueError: no [masked:api_key]" in line


def test_a_formatted_log_line_holds_no_secret() -> None:
    line = RedactingFormatter(Redactor(), "%(levelname)s %(message)s").format(record("key %s", samples()["jwt"]))
    assert line.startswith("ERROR key [masked:jwt]")
    assert "[masked:api_key]" in line
