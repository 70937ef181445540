"""The one `MetaData` that every room's tables join, and storage's own table.

Columns are `LargeBinary`, `BigInteger` and `Text` only: raw cursors skip SQLAlchemy's type processors.
"""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, Table

metadata = MetaData()

# Which batches were committed: after a lost COMMIT (PostgreSQL) the writer looks here before anyone is told.
batches = Table(
    "batches",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
)
Index("batches_by_time", batches.c.at_us)
