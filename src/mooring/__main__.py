"""`python -m mooring` is the command line."""

from mooring.cli import main

if __name__ == "__main__":
    main()
