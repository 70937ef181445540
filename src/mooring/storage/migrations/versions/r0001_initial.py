"""The tables of the first release, as the rooms' `tables.py` describe them.

Written by `python -m tests.storage.write_revision` until that release; frozen afterwards.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:  # noqa: PLR0915 - a statement for each table and index
    """All rooms."""
    op.create_table(
        "api_keys",
        _bytes("id", is_key=True),
        _text("project_id", required=True),
        _text("name", required=True),
        _bytes("verifier", required=True),
        _int("secret_version", required=True),
        _text("scopes", required=True),
        _int("created_at_us", required=True),
        _int("expires_at_us"),
        _int("revoked_at_us"),
    )
    op.create_index("api_keys_by_project", "api_keys", ["project_id", "id"])
    op.create_table(
        "attempts",
        _bytes("id", is_key=True),
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
    op.create_index("attempts_by_call", "attempts", ["call_id"])
    op.create_index(
        "attempts_open",
        "attempts",
        ["process_id"],
        sqlite_where=sa.text("settlement <> 'settled'"),
        postgresql_where=sa.text("settlement <> 'settled'"),
    )
    op.create_table(
        "batches",
        _bytes("id", is_key=True),
        _int("at_us", required=True),
    )
    op.create_index("batches_by_time", "batches", ["at_us"])
    op.create_table(
        "bill_hours",
        _text("project_id", is_key=True),
        _int("hour_us", is_key=True),
        _text("target", is_key=True),
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
    op.create_table(
        "budget_windows",
        _bytes("budget_id", is_key=True),
        _int("starts_at_us", is_key=True),
        _int("held_nanos", required=True),
        _int("settled_nanos", required=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "budgets",
        _bytes("id", is_key=True),
        _text("project_id", required=True),
        _text("scope", required=True),
        _text("subject", required=True),
        _text("period", required=True),
        _int("cap_nanos", required=True),
        _int("created_at_us", required=True),
        _int("removed_at_us"),
    )
    op.create_index(
        "budgets_once",
        "budgets",
        ["project_id", "scope", "subject", "period"],
        unique=True,
        sqlite_where=sa.text("removed_at_us IS NULL"),
        postgresql_where=sa.text("removed_at_us IS NULL"),
    )
    op.create_table(
        "call_keys",
        _text("project_id", is_key=True),
        _text("call_key", is_key=True),
        _bytes("call_id", required=True),
        _bytes("binding", required=True),
        _int("expires_at_us"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "calls",
        _bytes("id", is_key=True),
        _text("project_id", required=True),
        _text("kind", required=True),
        _text("name", required=True),
        _text("state", required=True),
        _bytes("trace_id"),
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
    op.create_index(
        "calls_by_answer_data",
        "calls",
        [sa.text("substr(answer_data, 1, 4)")],
        sqlite_where=sa.text("answer_codec IN (2, 3)"),
        postgresql_where=sa.text("answer_codec IN (2, 3)"),
    )
    op.create_index("calls_by_project", "calls", ["project_id", "id"])
    op.create_index(
        "calls_by_request_data",
        "calls",
        [sa.text("substr(request_data, 1, 4)")],
        sqlite_where=sa.text("request_codec IN (2, 3, 18, 19)"),
        postgresql_where=sa.text("request_codec IN (2, 3, 18, 19)"),
    )
    op.create_index(
        "calls_by_request_tip",
        "calls",
        [sa.text("substr(request_tip, 1, 4)")],
        sqlite_where=sa.text("request_tip IS NOT NULL"),
        postgresql_where=sa.text("request_tip IS NOT NULL"),
    )
    op.create_index(
        "calls_by_step",
        "calls",
        ["run_id", "step"],
        sqlite_where=sa.text("run_id IS NOT NULL"),
        postgresql_where=sa.text("run_id IS NOT NULL"),
    )
    op.create_index(
        "calls_by_trace",
        "calls",
        ["trace_id"],
        sqlite_where=sa.text("trace_id IS NOT NULL"),
        postgresql_where=sa.text("trace_id IS NOT NULL"),
    )
    op.create_index(
        "calls_open",
        "calls",
        ["process_id"],
        sqlite_where=sa.text("finished_at_us IS NULL"),
        postgresql_where=sa.text("finished_at_us IS NULL"),
    )
    op.create_table(
        "chunks",
        _bytes("id", is_key=True),
        _text("project_id", required=True),
        _bytes("document_id", required=True),
        _bytes("version_id", required=True),
        _int("number", required=True),
        _text("section", required=True),
        _int("start_at", required=True),
        _int("end_at", required=True),
    )
    op.create_index("chunks_by_document", "chunks", ["document_id"])
    op.create_index("chunks_by_version", "chunks", ["version_id", "number"])
    op.create_table(
        "collections",
        _bytes("id", is_key=True),
        _text("project_id", required=True),
        _text("name", required=True),
        _int("revision", required=True),
        _int("created_at_us", required=True),
        sa.UniqueConstraint("project_id", "name", name="collections_by_name"),
    )
    op.create_table(
        "contents",
        _text("project_id", is_key=True),
        _bytes("digest", is_key=True),
        _int("codec", required=True),
        _bytes("data"),
    )
    op.create_table(
        "deleted_reservations",
        _bytes("reservations", is_key=True),
        _int("settled_nanos", required=True),
    )
    op.create_table(
        "document_versions",
        _bytes("id", is_key=True),
        _text("project_id", required=True),
        _bytes("document_id", required=True),
        _bytes("content_key", required=True),
        _text("loader", required=True),
        _int("size_bytes", required=True),
        _text("text", required=True),
        _text("page_starts"),
        _text("notes"),
        _text("metadata"),
        _int("created_at_us", required=True),
    )
    op.create_index("document_versions_by_content", "document_versions", ["project_id", "content_key"])
    op.create_index("document_versions_by_document", "document_versions", ["document_id"])
    op.create_table(
        "documents",
        _bytes("id", is_key=True),
        _text("project_id", required=True),
        _bytes("collection_id", required=True),
        _text("source", required=True),
        _text("path", required=True),
        _bytes("version_id"),
        _text("reason"),
        _text("metadata"),
        _int("updated_at_us", required=True),
        sa.UniqueConstraint("collection_id", "source", "path", name="documents_by_path"),
    )
    op.create_table(
        "elements",
        _text("project_id", is_key=True),
        _bytes("id", is_key=True),
        _bytes("parent_id"),
        _int("depth", required=True),
        _int("codec", required=True),
        _bytes("data"),
    )
    op.create_index(
        "elements_by_data",
        "elements",
        [sa.text("substr(data, 1, 4)")],
        sqlite_where=sa.text("codec = 3"),
        postgresql_where=sa.text("codec = 3"),
    )
    op.create_index(
        "elements_by_parent_id",
        "elements",
        [sa.text("substr(parent_id, 1, 4)")],
        sqlite_where=sa.text("parent_id IS NOT NULL"),
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_table(
        "embeddings",
        _bytes("chunk_id", is_key=True),
        _text("model", is_key=True),
        _text("project_id", required=True),
        _bytes("document_id", required=True),
        _int("windows", required=True),
        _bytes("vector", required=True),
    )
    op.create_index("embeddings_by_document", "embeddings", ["document_id", "model"])
    op.create_table(
        "folded_hours",
        _int("hour_us", is_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "outbox",
        _bytes("id", is_key=True),
        _text("project_id", required=True),
        _text("topic", required=True),
        _bytes("subject_id", required=True),
        _int("created_at_us", required=True),
    )
    op.create_index("outbox_by_topic", "outbox", ["topic", "id"])
    op.create_table(
        "processes",
        _bytes("id", is_key=True),
        _text("kind", required=True),
        _int("pid", required=True),
        _text("lock_path", required=True),
        _text("address"),
        _int("started_at_us", required=True),
        _int("dead_at_us"),
    )
    op.create_table(
        "rate_limits",
        _text("project_id", is_key=True),
        _text("subject", is_key=True),
        _int("left_millionths", required=True),
        _int("at_us", required=True),
    )
    op.create_table(
        "releases",
        _text("project_id", is_key=True),
        _bytes("id", is_key=True),
        _int("codec", required=True),
        _bytes("data"),
        _int("created_at_us", required=True),
    )
    op.create_table(
        "run_events",
        _bytes("run_id", is_key=True),
        _int("seq", is_key=True),
        _text("project_id", required=True),
        _text("kind", required=True),
        _bytes("call_id"),
        _int("at_us", required=True),
        _int("payload_codec", required=True),
        _bytes("payload_data"),
    )
    op.create_index(
        "run_events_by_payload_data",
        "run_events",
        [sa.text("substr(payload_data, 1, 4)")],
        sqlite_where=sa.text("payload_codec IN (2, 3)"),
        postgresql_where=sa.text("payload_codec IN (2, 3)"),
    )
    op.create_table(
        "runs",
        _bytes("id", is_key=True),
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
        sa.UniqueConstraint("project_id", "run_key", name="runs_once"),
    )
    op.create_index(
        "runs_by_input_data",
        "runs",
        [sa.text("substr(input_data, 1, 4)")],
        sqlite_where=sa.text("input_codec IN (2, 3)"),
        postgresql_where=sa.text("input_codec IN (2, 3)"),
    )
    op.create_index(
        "runs_by_output_data",
        "runs",
        [sa.text("substr(output_data, 1, 4)")],
        sqlite_where=sa.text("output_codec IN (2, 3)"),
        postgresql_where=sa.text("output_codec IN (2, 3)"),
    )
    op.create_index("runs_by_project", "runs", ["project_id", "id"])
    op.create_index(
        "runs_open",
        "runs",
        ["handler", "state"],
        sqlite_where=sa.text("finished_at_us IS NULL"),
        postgresql_where=sa.text("finished_at_us IS NULL"),
    )
    op.create_table(
        "secret_prints",
        _int("version", is_key=True),
        _bytes("print", required=True),
    )
    op.create_table(
        "traffic",
        _bytes("id", is_key=True),
        _bytes("process_id", required=True),
        _int("at_us", required=True),
        _bytes("data", required=True),
    )
    op.create_table(
        "upkeep_marks",
        _text("project_id", is_key=True),
        _text("walk", is_key=True),
        _bytes("call_id", required=True),
        sqlite_with_rowid=False,
    )


def _bytes(name: str, *, is_key: bool = False, required: bool = False) -> "sa.Column[bytes]":
    return sa.Column(name, sa.LargeBinary, primary_key=is_key, nullable=not (is_key or required))


def _int(name: str, *, is_key: bool = False, required: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, primary_key=is_key, nullable=not (is_key or required), autoincrement=False)


def _text(name: str, *, is_key: bool = False, required: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, primary_key=is_key, nullable=not (is_key or required))
