"""The pages: what runs, what it costs, what needs attention; questions, runs and documents.

Read `pages.py` first (every path, and what a view is), then `session.py` (how a browser signs in), then the views:
`home.py`, `ask.py`, `runs.py` with `conversation.py` and `waterfall.py`, `traces.py` with `tree.py`, `calls.py`,
`documents.py`.

A view returns plain data. The page and its `.json` twin are made from the same data, so neither can know more than the
other; and all of it is read from the journal and the documents' ledger, so that pages add no truth of their own.
"""
