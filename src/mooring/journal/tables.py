"""The journal's tables: columns of bytes, integers and text only, the same on SQLite and PostgreSQL.

`*_codec` says how the `*_data` beside it is kept (see `contents.py`). `user`, `session`, `window` and `key` carry
other column names where the plain word is reserved in SQL.
"""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, UniqueConstraint, text

from mooring.storage.schema import metadata


def _id(name: str = "id") -> Column[bytes]:
    return Column(name, LargeBinary, primary_key=True)


def _bytes(name: str, *, required: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=not required)


def _int(name: str, *, required: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=not required)


def _text(name: str, *, required: bool = False) -> Column[str]:
    return Column(name, Text, nullable=not required)


processes = Table(
    "processes",
    metadata,
    _id(),
    _text("kind", required=True),
    _int("pid", required=True),
    _text("lock_path", required=True),
    _text("address"),
    _int("started_at_us", required=True),
    _int("dead_at_us"),
)

calls = Table(
    "calls",
    metadata,
    _id(),
    _text("project_id", required=True),
    _text("kind", required=True),
    _text("name", required=True),
    _text("state", required=True),
    _bytes("trace_id"),  # NULL: that of its run, else its own (`calls.TRACE`)
    _bytes("parent_span_id"),
    _bytes("process_id", required=True),
    _bytes("api_key_id"),
    _text("call_key"),
    _bytes("run_id"),
    _text("step"),
    _text("user_name"),
    _text("session_name"),
    _text("tags"),
    _bytes("release_id"),
    _int("is_stream", required=True),
    _int("started_at_us", required=True),
    _int("finished_at_us"),
    _int("request_codec"),
    _bytes("request_data"),
    _bytes("request_tip"),
    _int("status"),
    _text("content_type"),
    _text("error_code"),
    _text("attributes"),
    _int("answer_codec"),
    _bytes("answer_data"),
)
Index("calls_by_project", calls.c.project_id, calls.c.id)
Index(
    "calls_by_trace",
    calls.c.trace_id,
    sqlite_where=text("trace_id IS NOT NULL"),
    postgresql_where=text("trace_id IS NOT NULL"),
)
Index(
    "calls_by_step",
    calls.c.run_id,
    calls.c.step,
    sqlite_where=text("run_id IS NOT NULL"),
    postgresql_where=text("run_id IS NOT NULL"),
)
Index(
    "calls_open",
    calls.c.process_id,
    sqlite_where=text("finished_at_us IS NULL"),
    postgresql_where=text("finished_at_us IS NULL"),
)

# One row per key in force; the call keeps its key as a fact after the row is gone. `expires_at_us` NULL: as its run.
call_keys = Table(
    "call_keys",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("call_key", Text, primary_key=True),
    _bytes("call_id", required=True),
    _bytes("binding", required=True),
    _int("expires_at_us"),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    _id(),
    _bytes("call_id", required=True),
    _text("project_id", required=True),
    _bytes("process_id", required=True),
    _bytes("run_id"),
    _int("number", required=True),
    _text("target", required=True),
    _text("reason", required=True),
    _bytes("request_hash", required=True),
    _text("outcome", required=True),
    _text("settlement", required=True),
    _int("reserved_nanos", required=True),
    _int("held_nanos", required=True),
    _int("settled_nanos", required=True),
    _bytes("reservations"),
    _text("price", required=True),
    _int("intended_at_us", required=True),
    _int("finished_at_us"),
    _int("sent_at_us"),
    _int("first_byte_at_us"),
    _text("provider_request_id"),
    _int("upstream_status"),
    _text("error_code"),
    _text("error_message"),
    _int("bytes_up"),
    _int("bytes_down"),
    _int("input_tokens"),
    _int("output_tokens"),
    _int("cached_input_tokens"),
    _int("cache_write_tokens"),
    _int("input_audio_tokens"),
    _int("reasoning_tokens"),
    _int("output_audio_tokens"),
    _int("is_estimated"),
    _int("units"),
)
Index("attempts_by_call", attempts.c.call_id)
Index(
    "attempts_open",
    attempts.c.process_id,
    sqlite_where=text("settlement <> 'settled'"),
    postgresql_where=text("settlement <> 'settled'"),
)

budgets = Table(
    "budgets",
    metadata,
    _id(),
    _text("project_id", required=True),
    _text("scope", required=True),
    _text("subject", required=True),
    _text("period", required=True),
    _int("cap_nanos", required=True),
    _int("created_at_us", required=True),
    _int("removed_at_us"),
)
Index(
    "budgets_once",  # one that was removed stays as it was: set again, it is a new one
    budgets.c.project_id,
    budgets.c.scope,
    budgets.c.subject,
    budgets.c.period,
    unique=True,
    sqlite_where=text("removed_at_us IS NULL"),
    postgresql_where=text("removed_at_us IS NULL"),
)

budget_windows = Table(
    "budget_windows",
    metadata,
    Column("budget_id", LargeBinary, primary_key=True),
    Column("starts_at_us", BigInteger, primary_key=True, autoincrement=False),
    _int("held_nanos", required=True),
    _int("settled_nanos", required=True),
    sqlite_with_rowid=False,
)

runs = Table(
    "runs",
    metadata,
    _id(),
    _text("project_id", required=True),
    _text("handler", required=True),
    _text("name", required=True),
    _text("run_key"),
    _text("state", required=True),
    _int("epoch", required=True),
    _int("next_seq", required=True),
    _int("input_codec"),
    _bytes("input_data"),
    _int("output_codec"),
    _bytes("output_data"),
    _text("error_code"),
    _text("error_message"),
    _text("park_reason"),
    _bytes("owner_process_id"),
    _int("lease_until_us"),
    _int("due_at_us"),
    _int("created_at_us", required=True),
    _int("started_at_us"),
    _int("finished_at_us"),
    _text("user_name"),
    _text("session_name"),
    _text("tags"),
    _bytes("release_id"),
    _text("app_path"),
    _bytes("app_digest"),
    _int("max_cost_nanos"),
    _bytes("parent_run_id"),
    _int("settled_nanos", required=True),
    _int("held_nanos", required=True),
    UniqueConstraint("project_id", "run_key", name="runs_once"),
)
Index("runs_by_project", runs.c.project_id, runs.c.id)
Index(
    "runs_open",
    runs.c.handler,
    runs.c.state,
    sqlite_where=text("finished_at_us IS NULL"),
    postgresql_where=text("finished_at_us IS NULL"),
)

run_events = Table(
    "run_events",
    metadata,
    Column("run_id", LargeBinary, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _text("project_id", required=True),
    _text("kind", required=True),
    _bytes("call_id"),
    _int("at_us", required=True),
    _int("payload_codec", required=True),
    _bytes("payload_data"),
)

contents = Table(
    "contents",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    _int("codec", required=True),
    _bytes("data"),
)

# A message array is the chain that ends in its last element: an id is the digest of (the id before, element). A row
# holds a few elements that follow each other, under the last one's id; `parent_id` is the row before.
elements = Table(
    "elements",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("id", LargeBinary, primary_key=True),
    _bytes("parent_id"),
    _int("depth", required=True),
    _int("codec", required=True),
    _bytes("data"),
)

releases = Table(
    "releases",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("id", LargeBinary, primary_key=True),
    _int("codec", required=True),
    _bytes("data"),
    _int("created_at_us", required=True),
)

outbox = Table(
    "outbox",
    metadata,
    _id(),
    _text("project_id", required=True),
    _text("topic", required=True),
    _bytes("subject_id", required=True),
    _int("created_at_us", required=True),
)
Index("outbox_by_topic", outbox.c.topic, outbox.c.id)


# What still names a content, a message or a blob, for those that delete. Most calls keep their bytes in their own row
# and are in none of these; the first bytes of a digest tell nearly all others apart, and keep an entry narrow.
def _named(table: Table, column: str, where: str) -> None:
    Index(
        f"{table.name}_by_{column}",
        text(f"substr({column}, 1, 4)"),
        sqlite_where=text(where),
        postgresql_where=text(where),
        _table=table,
    )


_named(calls, "request_data", "request_codec IN (2, 3, 18, 19)")
_named(calls, "answer_data", "answer_codec IN (2, 3)")
_named(calls, "request_tip", "request_tip IS NOT NULL")
_named(runs, "input_data", "input_codec IN (2, 3)")
_named(runs, "output_data", "output_codec IN (2, 3)")
_named(run_events, "payload_data", "payload_codec IN (2, 3)")
_named(elements, "parent_id", "parent_id IS NOT NULL")
_named(elements, "data", "codec = 3")

# The bill of the past: one row per hour and target once nothing of the hour can change any more. Old attempts may then
# be deleted, and the bill of a year is read at once. `folded_hours` says which hours these rows stand for.
bill_hours = Table(
    "bill_hours",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("hour_us", BigInteger, primary_key=True, autoincrement=False),
    Column("target", Text, primary_key=True),
    _int("attempts", required=True),
    _int("settled_nanos", required=True),
    _int("input_tokens", required=True),
    _int("output_tokens", required=True),
    _int("cached_input_tokens", required=True),
    _int("cache_write_tokens", required=True),
    _int("input_audio_tokens", required=True),
    _int("reasoning_tokens", required=True),
    _int("output_audio_tokens", required=True),
    _int("is_estimated", required=True),
    _int("units", required=True),
    sqlite_with_rowid=False,
)
folded_hours = Table(
    "folded_hours",
    metadata,
    Column("hour_us", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# What deleted attempts had settled in a budget's window, so that the window's sum can still be checked.
deleted_reservations = Table(
    "deleted_reservations",
    metadata,
    Column("reservations", LargeBinary, primary_key=True),
    _int("settled_nanos", required=True),
)

# How far a walk through the journal has come; everything before needs no second look.
upkeep_marks = Table(
    "upkeep_marks",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("walk", Text, primary_key=True),
    _bytes("call_id", required=True),
    sqlite_with_rowid=False,
)
