"""JSON as models write it, made JSON as it is meant: fences, prose around it, loose commas, quotes, open brackets.

Only what leaves no doubt is mended. A text that ends inside a string or after half a word has lost something, and is
left to be asked for again.
"""

from typing import Any

import msgspec

from mooring.core.errors import UpstreamError

_decode = msgspec.json.Decoder().decode
_WORDS = {"True": "true", "False": "false", "None": "null", "undefined": "null"}
_CLOSES = {"{": "}", "[": "]"}
_QUOTES = {'"': '"', "'": "'", "“": "”"}


class OutputInvalid(UpstreamError):
    """The model answered, and its answer does not fit what was asked for; the message ends with the raw text."""

    code = "output_invalid"


def mended(text: str) -> str | None:
    """The JSON in a text, as text that parses; None where it cannot be told what was meant."""
    for candidate in (text, _inner(text)):
        if _parses(candidate):
            return candidate
    rewritten = _rewritten(_inner(text))
    return rewritten if rewritten is not None and _parses(rewritten) else None


def partial(text: str) -> Any:
    """The value of JSON that is still being written: what is complete in it so far, None where that is nothing yet."""
    for end in range(len(text), 0, -1):
        if end < len(text) and text[end - 1] not in '}],"' and not text[end - 1].isalnum():
            continue
        rewritten = _rewritten(text[:end])
        if rewritten is not None and _parses(rewritten):
            return _decode(rewritten)
    return None


def _parses(text: str) -> bool:
    try:
        _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _inner(text: str) -> str:
    """From the first bracket on, and up to the last one if that is its own kind: fences and prose are outside."""
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    if not starts:
        return text.strip()
    start = min(starts)
    end = text.rfind(_CLOSES[text[start]])
    fence = text.find("```", start)
    if end > start:
        return text[start : end + 1]
    return (text[start:fence] if fence > start else text[start:]).strip()


def _rewritten(text: str) -> str | None:
    """The same tokens in JSON's own spelling, with what is open closed; None where the text ends inside a token."""
    writer = _Writer(text)
    return writer.text() if writer.run() else None


class _Writer:
    """Reads loosely, token by token, and writes strictly."""

    def __init__(self, text: str) -> None:
        self._in = text
        self._at = 0
        self._out: list[str] = []
        self._open: list[str] = []

    def text(self) -> str:
        self._drop_comma()
        return "".join(self._out) + "".join(_CLOSES[one] for one in reversed(self._open))

    def run(self) -> bool:
        while self._at < len(self._in):
            if not self._token():
                return False
        return not (self._out and self._out[-1] == ":")

    def _token(self) -> bool:
        char = self._in[self._at]
        if char in _QUOTES:
            return self._string(_QUOTES[char])
        if char == "/" and self._in[self._at : self._at + 2] in ("//", "/*"):
            return self._comment()
        if char in "{[":
            self._open.append(char)
            self._put(char)
        elif char in "}]":
            if not self._open or _CLOSES[self._open.pop()] != char:
                return False
            self._drop_comma()
            self._put(char)
        elif char in ",:":
            self._put(char)
        elif char.isspace():
            self._at += 1
        else:
            return self._word()
        return True

    def _put(self, char: str) -> None:
        self._out.append(char)
        self._at += 1

    def _drop_comma(self) -> None:
        if self._out and self._out[-1] == ",":
            self._out.pop()

    def _string(self, close: str) -> bool:
        self._at += 1
        parts: list[str] = []
        while self._at < len(self._in):
            char = self._in[self._at]
            if char == close:
                self._at += 1
                self._out.append('"' + "".join(parts) + '"')
                return True
            if char == "\\" and self._at + 1 < len(self._in):
                escaped = self._in[self._at + 1]
                parts.append("'" if escaped == "'" else char + escaped)
                self._at += 2
                continue
            parts.append('\\"' if char == '"' else char if char >= " " else f"\\u{ord(char):04x}")
            self._at += 1
        return False

    def _comment(self) -> bool:
        is_line = self._in[self._at + 1] == "/"
        end = self._in.find("\n" if is_line else "*/", self._at)
        self._at = len(self._in) if end < 0 else end + (1 if is_line else 2)
        return is_line or end >= 0

    def _word(self) -> bool:
        """A number, a literal, or a name that lacks its quotes."""
        start = self._at
        while self._at < len(self._in) and (self._in[self._at].isalnum() or self._in[self._at] in "+-._$"):
            self._at += 1
        word = self._in[start : self._at]
        if not word:
            return False
        is_name = self._in[self._at :].lstrip().startswith(":") and word not in _WORDS
        self._out.append(f'"{word}"' if is_name and not word[0].isdigit() else _WORDS.get(word, word))
        return True
