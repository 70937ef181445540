"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Storage."""
    op.create_table(
        "batches",
        sa.Column("id", sa.LargeBinary, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
    op.create_index("batches_by_time", "batches", ["at_us"])
