"""Every room that has tables, found by its `tables.py`; importing this module makes the metadata whole."""

from importlib import import_module
from pathlib import Path

import mooring

ROOMS = sorted(file.parent.name for file in Path(next(iter(mooring.__path__))).glob("*/tables.py"))

for room in ROOMS:
    import_module(f"mooring.{room}.tables")
