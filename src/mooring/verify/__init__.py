"""Verify: the batteries behind the promises. Each starts a house and an independent double of its own, and breaks it.

Read `house.py` (what is started), then `crash.py` and `ledger.py`. Only this room, the tour and the
command line may import `sim`.
"""
