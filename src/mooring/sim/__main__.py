"""`python -m mooring.sim`."""

from .main import main

raise SystemExit(main())
