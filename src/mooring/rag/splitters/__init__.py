"""Splitters by name: each module exports `split`."""
