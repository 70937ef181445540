"""The HTTP edge: who may do what, and how each wire's bytes get in and out.

Read `server.py` first (routing, authentication, errors), then `exchange.py` (one request and its reply), then the
route files. Only this room and `local` know a web framework.
"""
