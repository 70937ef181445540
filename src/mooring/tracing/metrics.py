"""Prometheus' text format 0.0.4, and the figures that the journal and its projection hold for it.

Figures of calls are the whole installation's: they come from sums that outlive a restart, so every replica says the
same, and a query takes their `max`, not their sum. Figures of a process are its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from mooring.journal.journal import Journal

from .histogram import upper_us
from .records import Rollup
from .repository import metrics as rows
from .spans import Spans

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, str]
# Of the many binary buckets, one in four is shown: powers of two from a millisecond to about 17 minutes.
EDGES_US = tuple(1 << octave for octave in range(10, 31))


class Family(NamedTuple):
    """One metric with all its samples; `suffix` belongs to histograms."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: Sequence[tuple[str, Labels, float]]


def expose(families: Iterable[Family]) -> bytes:
    """The text."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP mooring_{family.name} {family.help}")
        lines.append(f"# TYPE mooring_{family.name} {family.kind}")
        for suffix, labels, value in family.samples:
            lines.append(f"mooring_{family.name}{suffix}{_labels(labels)} {_number(value)}")
    return ("\n".join(lines) + "\n").encode()


def one(name: str, kind: Literal["counter", "gauge"], text: str, value: float) -> Family:
    """A metric without labels."""
    return Family(name, kind, text, [("", {}, value)])


def histogram(buckets: Mapping[int, int], seconds: float, labels: Labels) -> list[tuple[str, Labels, float]]:
    """Samples of a histogram of binary buckets."""
    samples: list[tuple[str, Labels, float]] = []
    for edge in EDGES_US:
        below = sum(count for bucket, count in buckets.items() if upper_us(bucket) <= edge)
        samples.append(("_bucket", {**labels, "le": repr(edge / 1e6)}, below))
    total = sum(buckets.values())
    samples.append(("_bucket", {**labels, "le": "+Inf"}, total))
    samples.append(("_sum", labels, seconds))
    samples.append(("_count", labels, total))
    return samples


async def of_calls(journal: Journal, spans: Spans) -> list[Family]:
    """What was called, by model and by target: from the projection's sums."""
    kinds, models = await spans.totals("kind"), await spans.totals("model")
    targets = await spans.totals("target")
    waiting, dropped = await spans.exports()
    return [
        Family(
            "calls_total",
            "counter",
            "Calls by model and outcome, of the whole installation.",
            _outcomes(models, "model"),
        ),
        Family("calls_by_kind_total", "counter", "Calls by kind and outcome.", _outcomes(kinds, "kind")),
        Family("attempts_total", "counter", "Sends by target and outcome.", _outcomes(targets, "target")),
        Family("tokens_total", "counter", "Tokens by target and direction.", _tokens(targets)),
        Family(
            "settled_nanos_total",
            "counter",
            "Nano-dollars settled, by target.",
            [("", {"target": row.value}, row.settled_nanos) for row in _merged(targets)],
        ),
        Family(
            "call_seconds",
            "histogram",
            "How long calls took, by model.",
            [
                sample
                for row in _merged(models)
                for sample in histogram(row.latencies, row.duration_us / 1e6, {"model": row.value})
            ],
        ),
        one("exports_waiting", "gauge", "Spans that wait for the collector.", waiting),
        one("exports_dropped_total", "counter", "Spans that no collector got.", dropped),
        *await _now(journal),
    ]


async def _now(journal: Journal) -> list[Family]:
    found = await journal.read(rows.now)
    return [
        one("calls_running", "gauge", "Calls in flight.", found.running),
        one("calls_uncertain", "gauge", "Calls of which nobody can know what became of them.", found.uncertain),
        one("held_nanos", "gauge", "Nano-dollars that may still be owed.", found.held_nanos),
        Family(
            "runs",
            "gauge",
            "Runs that are not over, by state: `queued` is the queue.",
            [("", {"state": state}, count) for state, count in found.runs],
        ),
        Family(
            "outbox_rows",
            "gauge",
            "What the projection has still to apply, by topic.",
            [("", {"topic": topic}, count) for topic, count in found.outbox],
        ),
    ]


def _merged(found: Sequence[Rollup]) -> list[Rollup]:
    """One row per value, over all projects."""
    by_value: dict[str, list[Rollup]] = {}
    for row in found:
        by_value.setdefault(row.value, []).append(row)
    return [_sum(some) for _, some in sorted(by_value.items())]


def _sum(some: Sequence[Rollup]) -> Rollup:
    total: Callable[[str], int] = lambda name: sum(getattr(row, name) for row in some)  # noqa: E731
    latencies: dict[int, int] = {}
    for row in some:
        for bucket, count in row.latencies.items():
            latencies[bucket] = latencies.get(bucket, 0) + count
    return Rollup(
        0,
        some[0].value,
        total("calls"),
        total("failed"),
        total("blocked"),
        total("input_tokens"),
        total("output_tokens"),
        total("cached_input_tokens"),
        total("settled_nanos"),
        total("duration_us"),
        latencies,
    )


def _outcomes(found: Sequence[Rollup], label: str) -> list[tuple[str, Labels, float]]:
    return [
        ("", {label: row.value, "outcome": outcome}, count)
        for row in _merged(found)
        for outcome, count in (
            ("completed", row.calls - row.failed - row.blocked),
            ("failed", row.failed),
            ("blocked", row.blocked),
        )
    ]


def _tokens(targets: Sequence[Rollup]) -> list[tuple[str, Labels, float]]:
    return [
        ("", {"target": row.value, "direction": direction}, count)
        for row in _merged(targets)
        for direction, count in (
            ("input", row.input_tokens),
            ("output", row.output_tokens),
            ("cached_input", row.cached_input_tokens),
        )
    ]


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + shown + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
