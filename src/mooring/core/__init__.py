"""Words that all rooms share: errors, ids, time, money, messages, events, usage, tools, text, the registry. No I/O.

Read `messages.py` and `events.py` first (what travels), `usage.py` and `money.py` (what it costs), `errors.py`.
Imports nothing of Mooring outside this room.
"""
