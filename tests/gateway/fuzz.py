"""Valid inputs, mutated: `python -m tests.gateway.fuzz [--inputs 200000] [--seed N] [--only NAME]`, or `make fuzz N=…`.

The inputs are shared out evenly among the parsers of `parsers.py`. The same seed makes the same inputs; what breaks a
parser is printed as a Python literal, so that it can become a sample or a test.
"""

import argparse
import functools
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .parsers import PARSERS, Parser, keys

LARGEST = 4096
# What parsers stumble over: edges of numbers, of Unicode, of nesting, of lines, and the words of the formats.
WORDS = (
    b"null", b"true", b"{}", b"[]", b'""', b"0", b"-1", b"1e999", b"9223372036854775808", b"0.1", b"NaN", b'"\\ud800"',
    b'"\\u0000"', b"\xff", b"\xe2\x82", b"\x00", b"\xef\xbb\xbf", b"\r\n\r\n", b"\n\n", b"\r", b":", b",", b'"', b"\\",
    b"data: ", b"event: ", b"[DONE]", b"[" * 600, b'{"a":' * 300, b'"type":', b'"role":"user"', b'"content":',
    b'"usage":{"prompt_tokens":-5}', b'"n":1e5', b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n",
    b"HTTP/1.1",
)  # fmt: skip


# A value or a name in JSON, wherever it stands: in its place another keeps the whole readable, and goes deeper.
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|[{][}]|\[\]')
VALUES = (
    b"null", b"true", b"{}", b"[]", b'""', b"0", b"-1", b"1e308", b"0.1", b"18446744073709551616",
    b'"\\u0000"', b'"\\u00e9\\ud83d\\ude00"', b'"x"', b"[null]", b"[{}]", b"[[]]", b'{"type":"text","text":"x"}',
    b'{"a":{"b":[1]}}', b"-9223372036854775809",
)  # fmt: skip


@functools.cache
def tokens(sample: bytes) -> tuple[re.Match[bytes], ...]:
    return tuple(TOKEN.finditer(sample))


def reworded(draw: random.Random, samples: Sequence[bytes]) -> bytes:
    """One sample with another value, or another sample's, in the place of one."""
    data = draw.choice(samples)
    found = tokens(data)
    if not found:
        return data
    old, others = draw.choice(found), tokens(draw.choice(samples))
    new = draw.choice(others).group() if others and draw.random() < 0.4 else draw.choice(VALUES)
    return data[: old.start()] + new + data[old.end() :]


def mutated(draw: random.Random, samples: Sequence[bytes]) -> bytes:
    """One sample with one to four changes: half of those that hold JSON stay JSON."""
    data = bytearray(reworded(draw, samples))
    if tokens(samples[0]) and draw.random() < 0.5:
        return bytes(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 4))):
        size = len(data)
        at = draw.randrange(size + 1)
        end = min(size, at + draw.choice((1, 1, 2, 4, 8, 32, 128)))
        change = draw.randrange(7)
        if change == 0 and at < size:
            data[at] ^= 1 << draw.randrange(8)
        elif change == 1 and at < size:
            data[at] = draw.randrange(256)
        elif change == 2:
            del data[at:end]
        elif change == 3:
            data[at:at] = data[at:end]
        elif change == 4:
            data[at:at] = draw.choice(WORDS)
        elif change == 5:
            data[at:end] = draw.choice(WORDS)
        else:
            other = draw.choice(samples)
            data[at:] = other[draw.randrange(len(other) + 1) :]
    return bytes(data[:LARGEST])


def inputs(name: str, samples: Sequence[bytes], seed: int, count: int) -> Iterator[bytes]:
    """The samples as they are, then mutations of them: `count` in all."""
    draw = random.Random(f"{seed}/{name}")
    yield from samples[:count]
    for _ in range(count - len(samples)):
        yield mutated(draw, samples)


def fuzz(name: str, parser: Parser, seed: int, count: int) -> None:
    """So many inputs through one parser.

    Raises:
        AssertionError: it raised what is not its own error, or found something else in the same bytes.
    """
    for number, data in enumerate(inputs(name, parser.samples, seed, count)):
        try:
            parser.check(data)
        except Exception as error:
            raise AssertionError(f"{name}, seed {seed}, input {number}: {error!r}\n{data!r}") from error


def run(parsers: Mapping[str, Parser], seed: int, count: int) -> int:
    """Every parser in turn, and what came of it; how many are broken."""
    began, broken = time.perf_counter(), 0
    each = -(-count // max(len(parsers), 1))
    for name, parser in parsers.items():
        at = time.perf_counter()
        try:
            fuzz(name, parser, seed, each)
        except AssertionError as error:
            broken += 1
            print(f"BROKEN {error}")
        else:
            print(f"{name:36} {each:>8} inputs {each / (time.perf_counter() - at):>9.0f} a second")
    seconds = time.perf_counter() - began
    print(f"{each * len(parsers)} inputs, {len(parsers)} parsers, {broken} broken, {seconds:.0f} s, seed {seed}")
    return broken


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--inputs", type=int, default=200_000)
    options.add_argument("--seed", type=int, default=int(time.time()), help="the time, unless told")
    options.add_argument("--only", default="", help="parsers whose name holds this")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="mooring-fuzz-") as folder, keys(Path(folder)) as key:
        chosen = {name: parser for name, parser in {**PARSERS, "key": key}.items() if given.only in name}
        return 1 if not chosen or run(chosen, given.seed, given.inputs) else 0


if __name__ == "__main__":
    sys.exit(main())
