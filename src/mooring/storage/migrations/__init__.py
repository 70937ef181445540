"""The schema's history: one file per revision in `versions`, applied by `migrate.py`; never edited after a release."""
