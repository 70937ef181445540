"""The gateway: the one door to every model. Keys, limits, prices, routing, retry, codecs, providers.

Read `gateway.py` (the straight line), then `asked.py` (what is asked), `attempt.py` (one paid send), `intent.py` (what
it sends and may cost), `streams.py`, `keyed.py` (paid once); `codecs/` and `providers/` hold the plug-ins. May import
`guardrails`, `tracing`, `journal`, `storage`, `client`, `net` and `core`.
"""
