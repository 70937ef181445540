"""Parsing in a process of its own: what a hostile file can break there is one document, not the server."""

from .parser import Parser

__all__ = ["Parser"]
