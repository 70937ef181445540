"""The command line: `cli.py` lists the verbs, one file per verb group holds them, loaded when they are called."""

import sys

from .cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
