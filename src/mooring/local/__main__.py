"""`python -m mooring.local --port 0` prints `listening on http://127.0.0.1:PORT` and serves."""

import sys

from .serve import main

if __name__ == "__main__":
    sys.exit(main())
