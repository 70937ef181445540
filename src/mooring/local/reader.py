"""The extractive reader: answers with sentences of the passages, word for word, or says that they hold no answer.

A pure function of question and passages. It understands nothing: it ranks sentences by how much of the question they
cover, each word weighted by how rare it is among the passages' sentences, and, where the embedding model is there, by
how near they are to the question. So it tells questions that are off the
passages' topic from those on it, but not a question that sounds right and has no answer.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec

from mooring.core.words import content_words

from .sentence import is_heading, sentence_spans, stem, stems

REFUSAL = "The documents do not say."

# Measured by benchmarks/reader.py: see there for what it keeps and what it lets through.
THRESHOLD = 0.36
SIMILAR_THRESHOLD = 0.44  # with the embedding model
MOST_SENTENCES = 3

# How much a sentence gains, against 1.0 for covering the question itself; tuned with benchmarks/reader.py.
_NEIGHBOUR = 0.15  # words that the sentence before covers
_CONTEXT = 0.4  # words that its headings cover
_PAIRS = 0.25  # neighbouring words of the question that are neighbours in it
_PASSAGE = 0.1  # words that its passage covers
_RANK = -0.04  # each place of its passage behind the first
_LENGTH = -0.0008  # each of its words
_SIMILAR = 1.0  # its cosine to the question, where the embedding model is there
_MOST_COMPARED = 64  # of a prompt of any size, those that the words rank highest
_SURE = 0.7  # the share that the best cosine has in the confidence, then
_NEARLY_AS_GOOD = 0.65  # of the best score, for a second and third sentence

_NUMBER_WORDS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred|thousand|million|half|third|once|twice"
)
_WHEN = re.compile(r"\bwhen\b|\b(?:what|which) (?:year|date|century|decade|month|day|time)\b|\bhow (?:long|soon)\b")
_HOW_MANY = re.compile(
    r"\bhow (?:many|much|long|soon|often|old|far|large|big|tall|high)\b|\bwhat (?:percent|number|amount|fee|price)"
)
_WHO = re.compile(r"\bwho(?:m|se)?\b")
_HAS_TIME = re.compile(
    r"\b1\d{3}\b|\b20\d\d\b|\b(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|century|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|minutes?|hours?|days?|weeks?|months?|years?)\b",
    re.IGNORECASE,
)
_HAS_NUMBER = re.compile(rf"\d|\b(?:{_NUMBER_WORDS})\b", re.IGNORECASE)
_HAS_NAME = re.compile(r"\s[A-Z][a-z]+")


class Passage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A numbered piece of a document; `section` is the path of its headings."""

    number: int
    text: str
    section: str = ""
    path: str = ""


class Sentence(msgspec.Struct, frozen=True):
    """A sentence of passage `number`, at `[start, end)` of its text."""

    number: int
    start: int
    end: int
    text: str
    score: float


class Reading(msgspec.Struct, frozen=True):
    """The best sentences, best first; `confidence` in [0, 1] is how far the passages cover the question."""

    sentences: tuple[Sentence, ...]
    confidence: float
    threshold: float = THRESHOLD

    @property
    def is_answered(self) -> bool:
        return bool(self.sentences) and self.confidence >= self.threshold

    @property
    def text(self) -> str:
        """The answer with its citations, or the refusal."""
        if not self.is_answered:
            return REFUSAL
        return " ".join(f"{' '.join(sentence.text.split())} [{sentence.number}]" for sentence in self.sentences)


Similar = Callable[[str, Sequence[str]], Sequence[float]]
"""How near each sentence is to a question, as a cosine."""


class _Candidate(msgspec.Struct):
    """A sentence with what it is judged by."""

    passage: int
    start: int
    end: int
    text: str
    words: list[str]
    here: frozenset[str]
    before: frozenset[str]
    context: frozenset[str]


def read(question: str, passages: Sequence[Passage], *, similar: Similar | None = None) -> Reading:
    """The one to three sentences that answer best."""
    asked = list(dict.fromkeys(stem(word) for word in content_words(question)))
    candidates = [each for place, passage in enumerate(passages) for each in _candidates(place, passage)]
    if not asked or not candidates:
        return Reading((), 0.0)
    weight = _weights(candidates)
    whole = sum(weight(word) for word in asked)
    pairs = _pairs(stems(question))
    fitting = _fitting(question.lower())
    in_passage = {
        place: sum(weight(word) for word in asked if word in words) / whole
        for place, words in _around(candidates).items()
    }

    def score(candidate: _Candidate) -> float:
        covered = sum(weight(word) for word in asked if word in candidate.here)
        beside = sum(weight(word) for word in asked if word in candidate.before - candidate.here)
        above = sum(weight(word) for word in asked if word in candidate.context - candidate.here)
        both = sum(weight(one) + weight(two) for one, two in pairs & _pairs(candidate.words)) / 2
        return (
            (covered + _NEIGHBOUR * beside + _CONTEXT * above + _PAIRS * both) / whole
            + fitting(candidate.text)
            + _PASSAGE * in_passage[candidate.passage]
            + _RANK * candidate.passage
            + _LENGTH * len(candidate.words)
        )

    ranked = sorted(((score(each), each) for each in candidates), key=_by_score)
    confidence = _confidence(candidates, asked, weight, in_passage)
    if similar is None:
        return Reading(_chosen(ranked, asked, passages), confidence)
    del ranked[_MOST_COMPARED:]
    near = similar(question, [each.text for _, each in ranked])
    ranked = sorted(
        ((score + _SIMILAR * cosine, each) for (score, each), cosine in zip(ranked, near, strict=True)), key=_by_score
    )
    confidence = (1 - _SURE) * confidence + _SURE * max(0.0, *near)
    return Reading(_chosen(ranked, asked, passages), confidence, SIMILAR_THRESHOLD)


def _by_score(ranked: tuple[float, _Candidate]) -> float:
    return -ranked[0]


def _candidates(place: int, passage: Passage) -> list[_Candidate]:
    """The passage's sentences; its headings are context, not statements."""
    found: list[_Candidate] = []
    context = set(stems(passage.section))
    before: frozenset[str] = frozenset()
    for start, end in sentence_spans(passage.text):
        text = passage.text[start:end]
        words = stems(text)
        here = frozenset(words)
        if is_heading(text):
            context |= here
            continue
        found.append(_Candidate(place, start, end, text, words, here, before, frozenset(context)))
        before = here
    return found


def _weights(candidates: Sequence[_Candidate]) -> Callable[[str], float]:
    """How rare a word is among the sentences; one that is in none weighs most."""
    count = len(candidates)
    frequency = Counter(word for candidate in candidates for word in candidate.here)
    return lambda word: math.log(1 + (count + 0.5) / (frequency[word] + 0.5))


def _pairs(words: Sequence[str]) -> set[tuple[str, str]]:
    return set(pairwise(words))


def _fitting(question: str) -> Callable[[str], float]:
    """What a sentence gains for holding the kind of thing that is asked for: a time, a number, a name."""
    wanted: list[tuple[re.Pattern[str], float]] = []
    if _WHEN.search(question):
        wanted.append((_HAS_TIME, 0.15))
    if _HOW_MANY.search(question):
        wanted.append((_HAS_NUMBER, 0.15))
    if not wanted and _WHO.search(question):
        wanted.append((_HAS_NAME, 0.06))
    return lambda text: max((gain for pattern, gain in wanted if pattern.search(text)), default=0.0)


def _around(candidates: Sequence[_Candidate]) -> dict[int, set[str]]:
    """All words of each passage, its headings included."""
    around: dict[int, set[str]] = {}
    for candidate in candidates:
        around.setdefault(candidate.passage, set()).update(candidate.here, candidate.context)
    return around


def _confidence(
    candidates: Sequence[_Candidate], asked: Sequence[str], weight: Callable[[str], float], in_passage: dict[int, float]
) -> float:
    """Of the best sentence, the mean of three shares: of the question's weight, and of its words, in the sentence, its
    forerunner and its headings; and of the weight in the passage around it."""
    whole = sum(weight(word) for word in asked)
    best = 0.0
    for candidate in candidates:
        near = candidate.here | candidate.before | candidate.context
        covered = [word for word in asked if word in near]
        shares = sum(weight(word) for word in covered) / whole + len(covered) / len(asked)
        best = max(best, (shares + in_passage[candidate.passage]) / 3)
    return best


def _chosen(
    ranked: Sequence[tuple[float, _Candidate]], asked: Sequence[str], passages: Sequence[Passage]
) -> tuple[Sentence, ...]:
    """The best sentence, and up to two more that are nearly as good and cover a word that is still open.

    What only repeats words of the question, as a title in a list does, says nothing where another sentence does.
    """
    telling = [each for each in ranked if not each[1].here <= set(asked)] or ranked
    best = telling[0][0]
    still_open = set(asked)
    chosen: list[Sentence] = []
    for score, candidate in telling[:20]:
        if len(chosen) == MOST_SENTENCES or (
            chosen and (score < _NEARLY_AS_GOOD * best or not candidate.here & still_open)
        ):
            continue
        still_open -= candidate.here
        number = passages[candidate.passage].number
        chosen.append(Sentence(number, candidate.start, candidate.end, candidate.text, score))
    return tuple(chosen)
