"""The gateway's tables: API keys, the prints of their secrets, and what is left of shared rate limits."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from mooring.storage.schema import metadata

# `verifier` is an HMAC of the whole key under version `secret_version` of the home's secret; the key is never kept.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("verifier", LargeBinary, nullable=False),
    Column("secret_version", BigInteger, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
    Column("revoked_at_us", BigInteger),
)
Index("api_keys_by_project", api_keys.c.project_id, api_keys.c.id)

# Which secret each version was, without the secret: a home that has lost its own must not take a new one for it.
secret_prints = Table(
    "secret_prints",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("print", LargeBinary, nullable=False),
)

# A bucket that refills evenly: `left_millionths` of a request or token at `at_us`; below zero after a dear answer.
rate_limits = Table(
    "rate_limits",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("left_millionths", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)
