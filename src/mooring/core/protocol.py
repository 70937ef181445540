"""What processes of one home must have in common to work together, beside the schema of their database."""

# Raised whenever a file in `run/`, a wake-up, a run's event or a header between our own processes changes its meaning.
PROTOCOL = 1
HEADER = b"x-mooring-protocol"  # of every request that a process of a home sends to its serve
