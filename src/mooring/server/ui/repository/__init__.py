"""The pages' SQL: `listing.py` finds runs and calls, `grouping.py` sums them up, `pages.py` asks all the rest."""

from . import grouping, listing, pages
from .listing import MOST_SEEN, CallRow, RunRow, Wanted
from .pages import DocumentRow

__all__ = ["MOST_SEEN", "CallRow", "DocumentRow", "RunRow", "Wanted", "grouping", "listing", "pages"]
