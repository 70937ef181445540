"""The gateway's tables: API keys, and what is left of the rate limits that several processes share."""

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

# A bucket that refills evenly: `left_millionths` of a request or token at `at_us`; below zero after a dear answer.
rate_limits = Table(
    "rate_limits",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("left_millionths", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)
