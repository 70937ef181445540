"""Whether a trace is the same on every plane: spans against the ledger, bytes against the attempts, citations against
the documents. `verify.py` checks the journal against itself; this checks what follows it.
"""

from collections.abc import Iterator, Sequence

from mooring.core import ids
from mooring.core.errors import InvalidRequest
from mooring.core.ids import show
from mooring.core.money import show_usd
from mooring.journal.journal import Journal
from mooring.storage import Tx

from .records import Span
from .repository import spans as span_rows
from .repository import traffic as traffic_rows
from .spans import Spans
from .tracing import Trace, TracedCall
from .verify import Finding


async def verify_planes(journal: Journal, spans: Spans, trace: Trace) -> list[Finding]:
    """Everything that differs, the first call first; empty if all is the same. Calls that run are not over yet."""
    calls = [one for one in trace.calls if one.call.state != "running"]

    def read(tx: Tx) -> dict[bytes, list[Span]]:
        return {
            one.call.id: [
                span for span in span_rows.children(tx, trace.project_id, one.call.id) if span.kind == "attempt"
            ]
            for one in calls
        }

    found = await (await spans.opened()).read_async(read)
    findings = [finding for one in calls for finding in spans_are_the_ledgers(one, found[one.call.id])]
    cited = list(citations(calls))
    gone = set(
        await journal.read(
            lambda tx: traffic_rows.missing_chunks(tx, trace.project_id, [chunk for chunk, _, _ in cited])
        )
    )
    findings += [
        Finding(show("call", call_id), f"it found {show('chunk', chunk)} in {path}, which is not there any more")
        for chunk, call_id, path in cited
        if chunk in gone
    ]
    return findings


def spans_are_the_ledgers(traced: TracedCall, spans: Sequence[Span]) -> Iterator[Finding]:
    """One call's attempts, as the spans and as the ledger have them."""
    subject = show("call", traced.call.id)
    if len(spans) != len(traced.attempts):
        yield Finding(subject, f"it has {len(traced.attempts)} attempts, but {len(spans)} spans of them")
        return
    for name in ("settled_nanos", "held_nanos"):
        whole, parts = sum(getattr(one, name) for one in traced.attempts), sum(getattr(one, name) for one in spans)
        if whole != parts:
            yield Finding(
                subject, f"the ledger has {show_usd(whole)} {name.partition('_')[0]}, its spans {show_usd(parts)}"
            )
    for name in ("bytes_up", "bytes_down"):
        whole, parts = sum(getattr(one, name) for one in traced.attempts), sum(getattr(one, name) for one in spans)
        if whole != parts:
            yield Finding(
                subject, f"its sockets counted {whole} {name.replace('bytes_', 'bytes ')}, its spans have {parts}"
            )


def citations(calls: Sequence[TracedCall]) -> Iterator[tuple[bytes, bytes, str]]:
    """What was retrieved: passage, by which call, from where."""
    for one in calls:
        for hit in one.call.attributes.get("hits", ()):
            try:
                yield ids.read("chunk", str(hit["chunk"])), one.call.id, str(hit.get("path", "?"))
            except (InvalidRequest, KeyError, TypeError):
                continue
