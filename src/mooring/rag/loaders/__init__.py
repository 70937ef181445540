"""Loaders by name: each module exports `loader`."""
