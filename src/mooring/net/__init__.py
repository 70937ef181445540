"""HTTP/1.1 out, judged by the egress policy, and server-sent events in.

Read `http.py` first (the straight line), then `connection.py` (one socket), `answer.py` (what its bytes mean),
`response.py`, `pool.py`, `dial.py` and `egress.py`; `sse.py` stands alone. Imports only `core`.
"""

from .deadlines import Deadlines
from .egress import EgressPolicy
from .http import HttpClient
from .limits import PoolLimits
from .request import Request
from .response import Headers, Response, Traffic
from .sse import SseEvent, SseParser

__all__ = [
    "Deadlines",
    "EgressPolicy",
    "Headers",
    "HttpClient",
    "PoolLimits",
    "Request",
    "Response",
    "SseEvent",
    "SseParser",
    "Traffic",
]
