"""The strategy `task`: which target a text is for, learnt from examples. Nearest centroid over L2-normalised vectors.

The model is a file that the user keeps beside the configuration, which names its digest; so the release that every
call names says which one chose. Reading and choosing are pure; `choosing.py` buys the vector.
"""

import math
import operator
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from mooring.core.errors import ConfigError, InvalidRequest
from mooring.core.text import digest
from mooring.core.vectors import Vector, decode_vector, encode_vector, normalised

from .route_config import TaskConfig

FORMAT = 1


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the examples: a text, and the target that is right for it."""

    text: str
    target: str


class Accuracy(msgspec.Struct, frozen=True):
    """What was right of examples that were held out; `most_frequent`: of always saying that one."""

    examples: int
    folds: int
    right: int
    clear: int
    right_of_clear: int
    most_frequent: int
    by_target: dict[str, tuple[int, int]] = {}

    def lines(self) -> list[str]:
        """For people."""
        width = max(map(len, self.by_target))
        return [
            f"held out   {_share(self.right, self.examples)} right, in {self.folds} folds; "
            f"always the most frequent target: {_share(self.most_frequent, self.examples)}",
            f"clear      {_share(self.clear, self.examples)}, of which {_share(self.right_of_clear, self.clear)} "
            "right; the others are tried as listed",
            *(f"  {name:{width}}  {_share(right, count)}" for name, (right, count) in self.by_target.items()),
        ]


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.0f} %)" if whole else "0 of 0"


class TaskModel(msgspec.Struct, frozen=True):
    """One centroid for each target, in base64. Less than `margin` ahead of the next, it chooses none."""

    format: int
    embedding_model: str
    margin: float
    centroids: dict[str, str]
    accuracy: Accuracy


class Choice(NamedTuple):
    """What the model thinks of one text; `target` is None where nothing is clear, and `why` says so."""

    target: str | None
    why: str
    label: str | None = None
    margin: float | None = None


class Chooser:
    """A model that was read, ready to choose."""

    def __init__(self, model: TaskModel) -> None:
        self.embedding_model = model.embedding_model
        self.margin = model.margin
        self.centroids: dict[str, Vector] = {name: decode_vector(wire) for name, wire in model.centroids.items()}

    def choose(self, vector: Sequence[float]) -> Choice:
        """The nearest target, if it is far enough ahead of the next."""
        if {len(centroid) for centroid in self.centroids.values()} != {len(vector)}:
            return Choice(None, f"{self.embedding_model} makes vectors of another length than it did for the examples")
        label, likeness, margin = nearest(self.centroids, vector)
        told = f"likeness {likeness:.3f}, {margin:.3f} ahead of the next"
        if margin < self.margin:
            return Choice(None, f"not clear: {label} has {told}, and {self.margin:g} is asked for", label, margin)
        return Choice(label, told, label, margin)


def nearest(centroids: Mapping[str, Vector], vector: Sequence[float]) -> tuple[str, float, float]:
    """The nearest one, its cosine, and how far that is ahead of the next."""
    ranked = sorted(((_dot(centroid, vector), name) for name, centroid in centroids.items()), reverse=True)
    (likeness, name), (second, _) = ranked[:2]
    return name, likeness, likeness - second


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(map(operator.mul, one, other))


# Reading ------------------------------------------------------------------------------


def load(route: str, config: TaskConfig, targets: Sequence[str]) -> Chooser:
    """The model that a route names.

    Raises:
        ConfigError: it is not there, is another one than the configuration says, or names a target that is none.
    """
    hint = f"Train it again: `mooring config routes train {route} EXAMPLES.jsonl`."
    try:
        data = Path(config.file).read_bytes()
    except OSError as error:
        raise ConfigError(f"The file {config.file} cannot be read: {error.strerror}.", hint=hint) from error
    if digest(data).hex() != config.digest:
        raise ConfigError(
            f"The file {config.file} is another one than its digest says.",
            hint=f'Set digest = "{digest(data).hex()}" if it is the right one.',
        )
    try:
        model = msgspec.json.decode(data, type=TaskModel)
        chooser = Chooser(model)
    except (msgspec.MsgspecError, MemoryError) as error:
        raise ConfigError(f"The file {config.file} holds no model of tasks: {error}", hint=hint) from error
    if model.format != FORMAT or len(model.centroids) < 2:
        raise ConfigError(f"The file {config.file} holds no model of tasks that is understood here.", hint=hint)
    if strangers := sorted(set(model.centroids) - set(targets)):
        raise ConfigError(f"The file {config.file} chooses '{strangers[0]}', which is not a target.", hint=hint)
    return chooser


# Training -----------------------------------------------------------------------------


def read_examples(data: bytes, targets: Sequence[str]) -> list[Example]:
    """The examples of a file of JSON lines.

    Raises:
        InvalidRequest: a line is none, its target is none of the route's, or there are too few.
    """
    examples = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            example = msgspec.json.decode(line, type=Example)
        except msgspec.MsgspecError as error:
            raise InvalidRequest(f'Line {number} is not {{"text": …, "target": …}}: {error}.') from error
        if example.target not in targets:
            raise InvalidRequest(
                f"Line {number}: '{example.target}' is not a target of the route.",
                hint=f"Its targets are {', '.join(targets)}.",
            )
        if not example.text.strip():
            raise InvalidRequest(f"Line {number} has no text.")
        examples.append(example)
    counts = Counter(example.target for example in examples)
    if len(counts) < 2 or min(counts.values()) < 2:
        raise InvalidRequest(
            "There are too few examples.", hint="Give at least two targets, with at least two examples each."
        )
    return examples


def train(
    examples: Sequence[Example], vectors: Sequence[Sequence[float]], *, embedding_model: str, margin: float, folds: int
) -> bytes:
    """The file of a model, made of all examples; its accuracy is that of models made without those it was asked."""
    labels = [example.target for example in examples]
    model = TaskModel(
        format=FORMAT,
        embedding_model=embedding_model,
        margin=margin,
        centroids={name: encode_vector(found.tobytes()) for name, found in centroids_of(labels, vectors).items()},
        accuracy=held_out(labels, vectors, margin=margin, folds=folds),
    )
    return msgspec.json.format(msgspec.json.encode(model), indent=2) + b"\n"


def centroids_of(labels: Sequence[str], vectors: Sequence[Sequence[float]]) -> dict[str, Vector]:
    """The mean direction of each label's vectors."""
    grouped: dict[str, list[Sequence[float]]] = defaultdict(list)
    for label, vector in zip(labels, vectors, strict=True):
        grouped[label].append(vector)
    sums = {label: [math.fsum(column) for column in zip(*group, strict=True)] for label, group in grouped.items()}
    return {label: normalised(decode_vector(total)) for label, total in sorted(sums.items())}


def held_out(labels: Sequence[str], vectors: Sequence[Sequence[float]], *, margin: float, folds: int) -> Accuracy:
    """Each example is asked of a model that was made without its fold; each label is dealt evenly among the folds."""
    counts = Counter(labels)
    folds = max(2, min(folds, *counts.values()))
    dealt: Counter[str] = Counter()
    places = []
    for label in labels:
        places.append(dealt[label] % folds)
        dealt[label] += 1
    right = clear = right_of_clear = 0
    by_target: Counter[str] = Counter()
    for fold in range(folds):
        kept = [number for number, place in enumerate(places) if place != fold]
        centroids = centroids_of([labels[number] for number in kept], [vectors[number] for number in kept])
        for number in (number for number, place in enumerate(places) if place == fold):
            name, _, ahead = nearest(centroids, vectors[number])
            is_right, is_clear = name == labels[number], ahead >= margin
            right += is_right
            clear += is_clear
            right_of_clear += is_right and is_clear
            by_target[labels[number]] += is_right
    return Accuracy(
        examples=len(labels),
        folds=folds,
        right=right,
        clear=clear,
        right_of_clear=right_of_clear,
        most_frequent=counts.most_common(1)[0][1],
        by_target={label: (by_target[label], count) for label, count in sorted(counts.items())},
    )
