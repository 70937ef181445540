"""The pages' SQL: `listing.py` finds runs and calls by what they are, `pages.py` asks all the rest."""

from . import listing, pages
from .listing import MOST_SEEN, CallRow, RunRow, Wanted
from .pages import DocumentRow, SpendRow

__all__ = ["MOST_SEEN", "CallRow", "DocumentRow", "RunRow", "SpendRow", "Wanted", "listing", "pages"]
