"""What secrets look like, and where they stand in a text. Shared by the `secrets_mask` check and the redactor.

Prefixes and lengths are the vendors' documented ones; a kind without a documented length asks for fewer characters than
any seen key has. A kind is certain within a few dozen characters of its start: from there the match only grows.
"""

from typing import Any, NamedTuple

import re2

from .check import Span
from .shapes import Shape, either, many, maybe, run, sequence, word, words

# A 16,384-bit RSA key in PEM has 12,700 characters; what goes on for longer is no single secret.
LONGEST = 16_384

_ALNUM = "A-Za-z0-9"
_URL = "A-Za-z0-9_-"
_BASE64 = "A-Za-z0-9+/=_-"
# Between a name and its value: also as it stands inside a JSON string.
_EQUALS = run(r"\s=:>\"'\\nrt", 1, 8)
_BREAK = either(run(r"\s", 1), word("\\n"), word("\\r"), word("\\t"))
_PEM_LABEL = run("A-Z0-9 ", 0, 24)
_PEM_HEADER = sequence(words("Proc-Type:", "DEK-Info:", "Version:", "Comment:"), run("A-Za-z0-9 ,.()/-", 1, 80))


class Kind(NamedTuple):
    """`lead` is a name in front that is no secret and stays readable."""

    name: str
    shape: Shape
    lead: Shape | None = None
    needs_digit: bool = False


def _after(prefix: Shape | str, characters: str, least: int) -> Shape:
    return sequence(word(prefix) if isinstance(prefix, str) else prefix, run(characters, least))


def _pem() -> Shape:
    begin = sequence(word("-----BEGIN "), _PEM_LABEL, word("PRIVATE KEY"), maybe(word(" BLOCK")), word("-----"))
    end = sequence(word("-----END "), _PEM_LABEL, word("PRIVATE KEY"), maybe(word(" BLOCK")), word("-----"))
    gap = many(either(_BREAK, _PEM_HEADER))
    line = run(_BASE64, 20)
    last = sequence(run(_BASE64, 0, 76), many(_BREAK), end)
    return sequence(begin, gap, line, many(either(_BREAK, line)), maybe(last))


_AWS_NAME = words(
    "aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", "SecretAccessKey", "secretAccessKey", "secret_access_key"
)
_BEARER = sequence(words("Bearer", "bearer", "BEARER"), run(r"\s", 1, 4))
_BASIC = sequence(words("Authorization", "authorization"), _EQUALS, words("Basic ", "basic "))
_USERINFO = sequence(word("://"), run(r"A-Za-z0-9._~%!$&()*+,;=-", 0, 64), word(":"))

KINDS: tuple[Kind, ...] = (
    Kind("anthropic_key", _after("sk-ant-", _URL, 20)),
    Kind("openai_key", _after(words("sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-"), _URL, 20)),
    Kind("openrouter_key", _after("sk-or-v1-", _ALNUM, 32)),
    Kind("langfuse_key", _after("sk-lf-", _URL, 30)),
    Kind("api_key", _after("sk-", _ALNUM, 20)),
    Kind("stripe_key", _after(words("sk_live_", "sk_test_", "rk_live_", "rk_test_"), _ALNUM, 16)),
    Kind("stripe_webhook_secret", _after("whsec_", _BASE64, 24)),
    Kind("aws_access_key_id", _after(words("AKIA", "ASIA"), "0-9A-Z", 16)),
    Kind("aws_bedrock_key", _after("ABSK", _BASE64, 80)),
    Kind("aws_secret_key", sequence(_AWS_NAME, _EQUALS, run("A-Za-z0-9/+", 40)), sequence(_AWS_NAME, _EQUALS)),
    Kind("github_token", _after(words("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _ALNUM, 36)),
    Kind("github_token", _after("github_pat_", "A-Za-z0-9_", 50)),
    Kind("gitlab_token", _after("glpat-", _URL, 20)),
    Kind("slack_token", _after(words("xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-"), "A-Za-z0-9-", 16)),
    Kind("slack_token", sequence(word("xapp-"), run("0-9", 1, 2), word("-"), run("A-Za-z0-9-", 16))),
    Kind("slack_webhook", _after("hooks.slack.com/services/T", "A-Za-z0-9/_", 30)),
    Kind("google_api_key", _after("AIza", _URL, 35)),
    Kind("google_oauth_token", _after("ya29.", _URL, 20)),
    Kind("google_oauth_secret", _after("GOCSPX-", _URL, 24)),
    Kind("hugging_face_token", _after("hf_", _ALNUM, 30)),
    Kind("groq_key", _after("gsk_", _ALNUM, 40)),
    Kind("xai_key", _after("xai-", _ALNUM, 40)),
    Kind("perplexity_key", _after("pplx-", _ALNUM, 32)),
    Kind("nvidia_key", _after("nvapi-", _URL, 40)),
    Kind("replicate_token", _after("r8_", _ALNUM, 36)),
    Kind("fireworks_key", _after("fw_", _ALNUM, 22), needs_digit=True),
    Kind("pinecone_key", _after("pcsk_", "A-Za-z0-9_", 40)),
    Kind("npm_token", _after("npm_", _ALNUM, 36)),
    Kind("pypi_token", _after("pypi-AgE", _URL, 50)),
    Kind("digitalocean_token", _after(words("dop_v1_", "doo_v1_", "dor_v1_"), "0-9a-f", 60)),
    Kind("sendgrid_key", sequence(word("SG."), run(_URL, 16, 32), word("."), run(_URL, 32))),
    Kind("private_key", _pem()),
    # The first field of a JOSE header is one of alg, typ, kid, x5t, jku, cty, enc: base64 of `{"alg":` and so on.
    Kind(
        "jwt",
        sequence(
            words("eyJhbGci", "eyJ0eXAi", "eyJraWQi", "eyJ4NXQi", "eyJqa3Ui", "eyJjdHki", "eyJlbmMi"),
            run(_URL, 8),
            many(sequence(word("."), run(_URL, 0))),
        ),
    ),
    Kind("bearer_token", sequence(_BEARER, run("A-Za-z0-9._~+/=-", 20)), _BEARER, needs_digit=True),
    Kind("basic_credentials", sequence(_BASIC, run("A-Za-z0-9+/=", 12)), _BASIC),
    Kind("url_password", sequence(_USERINFO, run(r"A-Za-z0-9._~%!$&()*+,;=^-", 1, 128), word("@")), _USERINFO),
)


def _options() -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.longest_match = True
    options.never_capture = True
    options.max_mem = 64 << 20
    return options


def _compile(pattern: str) -> Any:
    return re2.compile(pattern.encode("latin-1"), _options())


def _compile_set(*patterns: str) -> Any:
    """All patterns in one pass, without places: less than half the cost of a search for each."""
    patterns_set = re2.Set.SearchSet(_options())
    for pattern in patterns:
        patterns_set.Add(pattern.encode("latin-1"))
    patterns_set.Compile()
    return patterns_set


_ANY_TEXT = "|".join(kind.shape.whole for kind in KINDS)
_OPENING_TEXT = "(?:" + "|".join(kind.shape.opening for kind in KINDS) + r")\z"
_ANY = _compile(_ANY_TEXT)
_OPENING = _compile(_OPENING_TEXT)
_EITHER = _compile_set(_ANY_TEXT, _OPENING_TEXT)
_EACH = tuple((kind, _compile(kind.shape.whole), _compile(kind.lead.whole) if kind.lead else None) for kind in KINDS)


def may_hold(document: bytes) -> bool:
    """Whether anything in these bytes looks like a secret; they may be JSON."""
    return _ANY.search(document) is not None


def is_clear(text: str) -> bool:
    """No secret in it, and none opens at its end: one pass for the usual piece of a stream."""
    return not _EITHER.Match(_bytes(text))


def open_from(text: str) -> int:
    """Where the longest tail begins that could still become a secret, or a longer one."""
    offset = max(0, len(text) - LONGEST + 1)
    found = _OPENING.search(_bytes(text[offset:]))
    return offset + found.start() if found else len(text)


def find(text: str) -> tuple[Span, ...]:
    """All secrets, from the left, each as long as it can be and no longer than `LONGEST`."""
    data = _bytes(text)
    spans: list[Span] = []
    at = 0
    while (found := _ANY.search(data, at)) is not None:
        start, end = found.span()
        if end - start > LONGEST:
            end = start + _ANY.match(data[start : start + LONGEST]).end()
        span = _named(data[start:end], start)
        if span is not None:
            spans.append(span)
        at = end if span is not None else start + 1
    return tuple(spans)


def mask(text: str) -> str:
    """The text with every secret replaced."""
    return replace(text, find(text))


def replace(text: str, spans: tuple[Span, ...]) -> str:
    """The text with each span's replacement in its place; spans are in order and apart."""
    pieces, at = [], 0
    for span in spans:
        pieces += [text[at : span.start], span.replacement]
        at = span.end
    return "".join([*pieces, text[at:]])


def _bytes(text: str) -> bytes:
    """One byte a character, so that places in both are the same; no shape holds a character that Latin-1 lacks."""
    return text.encode("latin-1", "replace")


def _named(match: bytes, start: int) -> Span | None:
    for kind, whole, lead in _EACH:
        if whole.fullmatch(match) is not None:
            cut = lead.match(match).end() if lead is not None else 0
            if kind.needs_digit and not any(48 <= byte <= 57 for byte in match[cut:]):
                continue
            kept = match[:cut].decode("latin-1")
            tail = "@" if kind.name == "url_password" else ""
            return Span(start, start + len(match), kind.name, f"{kept}[masked:{kind.name}]{tail}")
    return None
