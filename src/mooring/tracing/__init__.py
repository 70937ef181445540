"""Traces: a view of the journal. Latency, tokens, dollars and bytes by hop, and whether they add up.

Read `tracing.py` (what a trace is), `verify.py` (its parts reconcile), `render.py` (terminal and JSON). May import
`journal` and what lies below.
"""

from .tracing import Step, Trace, TracedCall, Traces
from .verify import Finding

__all__ = ["Finding", "Step", "Trace", "TracedCall", "Traces"]
