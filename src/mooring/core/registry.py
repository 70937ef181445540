"""Plug-ins by name: built-ins are modules of one folder, users' come from the entry point group of the same family.

File name = registered name = `type` in the config. Built-ins and users' plug-ins use the same door.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Generic, TypeVar

from .errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """One family: `Registry("provider", "mooring.providers", "mooring.gateway.providers", "Provider")`.

    `attribute` is the name that each plug-in module exports; `extras` maps a package to the extra that brings it.
    """

    def __init__(
        self, family: str, group: str, package: str, attribute: str, *, extras: dict[str, str] | None = None
    ) -> None:
        self.family = family
        self._group = group
        self._package = package
        self._attribute = attribute
        self._extras = extras or {}
        self._loaded: dict[str, T] = {}

    @cached_property
    def _points(self) -> dict[str, EntryPoint]:
        """Users' plug-ins; looked up once, because it reads the metadata of every installed package (5 ms)."""
        return {point.name: point for point in reversed(list(entry_points(group=self._group)))}

    def names(self) -> list[str]:
        """All registered names, sorted."""
        package = importlib.import_module(self._package)
        built_in = {module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")}
        return sorted(built_in | self._points.keys())

    def get(self, name: str) -> T:
        """The plug-in of this name.

        Raises:
            ConfigError: an unknown name (the nearest is suggested) or a missing package (with its install command).
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> T:
        point = self._points.get(name)
        if point is None and name not in self.names():
            raise ConfigError(f"Unknown {self.family} '{name}'.", hint=did_you_mean(name, self.names()))
        try:
            if point is not None:
                loaded: T = point.load()
            else:
                loaded = getattr(importlib.import_module(f"{self._package}.{name}"), self._attribute)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in self._extras:
                raise
            raise ConfigError(
                f"The '{name}' {self.family} needs the package '{missing}'.",
                hint=f"Run: pip install 'mooring[{self._extras[missing]}]'",
            ) from error
        return loaded


def late(module: str) -> ModuleType:
    """A module that most processes never need and that costs too much to load with every start."""
    return importlib.import_module(module)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """`Did you mean 'groq'?`, or the list of what there is."""
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Known: {', '.join(known)}." if known else "None is registered."
