"""False hits of the cache by meaning: questions that would get the answer to another one, by threshold.

`python benchmarks/meaning.py FOLDER`, where FOLDER holds `queries.jsonl` (`text`, `answers`: the questions that were
answered before) and, written to come near them, `unanswerable.jsonl` (`text`). A hit is true where both questions have
an answer in common. Vectors are those of `local/minilm`; the words that decide a question are looked at or not.
"""

import argparse
import json
import string
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mooring.gateway.deciding import deciding
from mooring.local.minilm import MiniLM, make
from mooring.local.weights import find_weights

THRESHOLDS = (0.85, 0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98)
MOST_LOOKED_AT = 8
_TO_SPACES = str.maketrans(string.punctuation, " " * len(string.punctuation))


def plain(text: str) -> str:
    """Without case and punctuation."""
    return " ".join(text.lower().translate(_TO_SPACES).split())


def read(path: Path) -> list[dict[str, Any]]:
    """One object a line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


class Near(NamedTuple):
    """The question whose answer another one would get, at thresholds up to its cosine."""

    place: int
    cosine: float


def nearest(cosines: NDArray[np.float32], text: str, texts: list[str], facts: list[object], fact: object) -> Near:
    """Of the eight nearest the first that may be it; the same words are no other question."""
    near = np.argpartition(-cosines, MOST_LOOKED_AT)[:MOST_LOOKED_AT]
    for place in near[np.argsort(-cosines[near])]:
        if facts[place] == fact and plain(texts[place]) != plain(text):
            return Near(int(place), float(cosines[place]))
    return Near(0, -1.0)


def main() -> None:
    """Embeds everything once, then counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    asked = read(folder / "queries.jsonl")
    texts = [each["text"] for each in asked]
    answers = [{plain(answer[0]) for answer in each["answers"]} for each in asked]
    others = [each["text"] for each in read(folder / "unanswerable.jsonl")]
    with tempfile.TemporaryDirectory() as made:
        make(find_weights(None), Path(made) / "minilm")
        model = MiniLM(Path(made) / "minilm")
        rows, strange = (
            np.stack([np.frombuffer(model.embed(text).vector, "<f4") for text in each]) for each in (texts, others)
        )
        model.close()
    print(f"{len(texts)} questions, each against all others; {len(others)} near misses against them")
    for name in ("cosine alone", "deciding words equal"):
        judge = deciding if name == "deciding words equal" else bool
        facts: list[object] = [judge(text) for text in texts]
        found = []
        for place, text in enumerate(texts):
            cosines = rows @ rows[place]
            cosines[place] = -1
            near = nearest(cosines, text, texts, facts, facts[place])
            found.append((near.cosine, bool(answers[near.place] & answers[place])))
        misses = [
            nearest(rows @ row, text, texts, facts, judge(text)).cosine
            for row, text in zip(strange, others, strict=True)
        ]
        for threshold in THRESHOLDS:
            true = sum(is_true for cosine, is_true in found if cosine >= threshold)
            false = sum(not is_true for cosine, is_true in found if cosine >= threshold)
            missed = sum(cosine >= threshold for cosine in misses)
            print(
                f"{name}, {threshold:.2f}: {true} true, {false} false ({false / len(texts):.2%});"
                f" of near misses {missed} ({missed / len(others):.2%})"
            )


if __name__ == "__main__":
    main()
