"""Verify: the batteries behind the promises. Each starts a house of its own and an independent double, and breaks things.

Read `house.py` (what is started), then `crash.py` and `ledger.py`. May import `sim`, which nothing but the command line,
the tour and this room may.
"""
