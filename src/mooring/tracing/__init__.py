"""Traces: a view of the journal. Latency, tokens, dollars and bytes by hop, and whether they add up.

Read `tracing.py` (what a trace is), `verify.py` and `planes.py` (its parts reconcile), `render.py` and `data.py` (for
the terminal, as JSON). Lists and sums: `projector.py` follows the outbox into `spans.py`; `sums.py` says what a span
adds. Beside them `traffic.py` (bytes by hop), `metrics.py`, `logs.py`, `export.py` (OTLP out); `receiving.py`,
`protobuf.py`, `foreign.py` (OTLP in: data of their own). May import `journal` and what lies below.
"""

from .tracing import Step, Trace, TracedCall, Traces
from .verify import Finding

__all__ = ["Finding", "Step", "Trace", "TracedCall", "Traces"]
