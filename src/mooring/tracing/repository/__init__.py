"""The SQL of traces: `schema.py` and `spans.py` over the projection, `rollups.py` its sums,
`journal.py` over the truth.

What the projection says is joined with the journal before anybody sees it: a row that lags can miss, never resurrect.
"""

from mooring.storage.projects import cross_project

__all__ = ["cross_project"]
