"""What is measured at the edge of `serve` and cannot be made again: bytes of exchanges, many in one row.

`data` is a run of records of 16 + 1 + 4 + 8 + 8 bytes (call or run, hop, at which place, bytes up, bytes down): 25
calls a kilobyte, one row per process and second.
"""

from sqlalchemy import BigInteger, Column, LargeBinary, Table

from mooring.storage.schema import metadata

traffic = Table(
    "traffic",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("process_id", LargeBinary, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
