"""A provider that meters and misbehaves: the independent oracle of tests, batteries and tour.

Read `sim.py` first (the straight line), then `models.py` (what there is, and the token rule), `scripts.py` (what the
models say), `meter.py` (what is billed), `faults.py` and `mischief.py` (how it breaks). `wire.py` and `chat.py` are its
own HTTP and its own OpenAI wire: nothing is shared with the gateway, so that one cannot hide the other's mistake.
Imports nothing of Mooring.
"""

from .conversation import Conversation, Failure, Reply, ToolCall
from .faults import Fault, Planted
from .main import main
from .meter import MeterRow
from .models import Model, SimPrice
from .sim import SimServer

__all__ = [
    "Conversation",
    "Failure",
    "Fault",
    "MeterRow",
    "Model",
    "Planted",
    "Reply",
    "SimPrice",
    "SimServer",
    "ToolCall",
    "main",
]
