"""The gateway: the one door to every model. Keys, limits, prices, routing, retry, codecs, providers.

Read `gateway.py` (the straight line), then `asked.py` (what is asked), `attempt.py` (one paid send), `streams.py`,
`keyed.py` (paid once); `codecs/` and `providers/` hold the plug-ins. May import `guardrails`, `tracing`, `journal`,
`storage`, `client`, `net` and `core`.
"""
