"""Mooring: the application server for generative AI."""
