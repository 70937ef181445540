"""Agents: the loop that takes a run from model step to tool steps and on, and survives its worker.

Read `agents.py` first (the straight line), `fold.py` (where a run stands), `resume.py` (what may be repeated),
`effects.py` (the seam to the world), `online.py` and `replay.py` behind it, `runner.py` (what a worker calls).
Imports the journal, the client and `core`.
"""

from .agents import AgentLoop
from .loading import LoadedApp, load, load_app
from .replay import Divergence, ReplayReport, replay
from .runner import AgentRunner

__all__ = ["AgentLoop", "AgentRunner", "Divergence", "LoadedApp", "ReplayReport", "load", "load_app", "replay"]
