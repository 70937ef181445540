"""Processes: the supervisor behind `mooring up`, the worker loop, and how a process learns that it must end.

Read `supervisor.py` first, then `serve.py` and `worker.py`. May import everything but `cli`, `demo` and `verify`.
"""
