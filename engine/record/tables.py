"""Every table of the record, as SQLAlchemy Core. Migrations make them; a test sees that the two agree."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

NOW = sa.func.now()
EMPTY_OBJECT = sa.text("'{}'")
EMPTY_LIST = sa.text("'[]'")
NO_TEXTS = sa.text("'{}'")
ACTIVE = "uq_interview_sessions_active"
"""The index by which one interview is active per user and question."""
NOT_SUBMITTED = sa.text("phase <> 'submitted'")


def _id() -> sa.Column[object]:
    return sa.Column("id", sa.Uuid, primary_key=True)


def _at(name: str, *, null: bool = False, now: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=null, server_default=NOW if now else None)


def _text(name: str, *, null: bool = False, default: str | None = None, **more: object) -> sa.Column[object]:
    return sa.Column(name, sa.Text, nullable=null, server_default=default, **more)  # type: ignore[arg-type]


def _int(name: str, default: int | None = None) -> sa.Column[object]:
    start = None if default is None else sa.text(str(default))
    return sa.Column(name, sa.Integer, nullable=False, server_default=start)


def _flag(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def _of(name: str, to: str, *, null: bool = False, delete: str = "CASCADE", **more: object) -> sa.Column[object]:
    """A foreign key; rows go with what they belong to, so that deleting a user deletes all of theirs."""
    return sa.Column(name, sa.ForeignKey(to, ondelete=delete), nullable=null, **more)  # type: ignore[arg-type]


def _one_of(name: str, *values: str) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{name} IN ({listed})", name=name)


# --- people ------------------------------------------------------------------------------------------------

users = sa.Table(
    "users",
    metadata,
    _id(),
    _text("email"),  # as the person wrote it
    _text("email_key", unique=True),  # normalised: what an address is looked up by
    _text("name", default=""),
    _text("avatar_url", null=True),
    _text("google_sub", null=True, unique=True),
    _at("created_at", now=True),
    _at("updated_at", now=True),
)

user_auth_sessions = sa.Table(
    "user_auth_sessions",
    metadata,
    _id(),
    _of("user_id", "users.id", index=True),
    sa.Column("refresh_hash", BYTEA, nullable=False),
    sa.Column("previous_hash", BYTEA),
    sa.Column("successor_sealed", BYTEA),  # readable only with the token that `previous_hash` is of
    sa.Column("client_hash", BYTEA, nullable=False),
    sa.Column("browser_hash", BYTEA, index=True),
    _text("method"),
    _at("rotated_at", now=True),
    _at("expires_at"),
    _at("revoked_at", null=True),
    _text("revoked_why", null=True),
    _at("created_at", now=True),
    _one_of("method", "code", "google"),
)

email_otps = sa.Table(
    "email_otps",
    metadata,
    _id(),  # the challenge
    _text("email"),
    _text("email_key"),
    sa.Column("code_hash", BYTEA, nullable=False),
    sa.Column("browser_hash", BYTEA, nullable=False),
    _flag("browser_known"),  # this browser has signed in to this address before
    _int("failures", 0),
    _at("expires_at"),
    _at("consumed_at", null=True),
    _at("created_at", now=True),
    sa.Index(None, "email_key", "created_at"),
    sa.Index(None, "created_at"),
)

# --- the question bank -------------------------------------------------------------------------------------

question_packs = sa.Table(
    "question_packs",
    metadata,
    _text("hash", primary_key=True),
    _text("slug", index=True),
    _int("version"),
    sa.Column("body", BYTEA, nullable=False),  # canonical JSON; every version ever loaded stays gradable
    _at("loaded_at", now=True),
)

questions = sa.Table(
    "questions",
    metadata,
    _id(),
    _text("slug", unique=True),
    _text("title"),
    _text("type"),
    _text("difficulty"),
    _text("status"),
    _text("access"),
    _text("statement"),
    _of("pack_hash", "question_packs.hash", delete="RESTRICT"),
    sa.Column("tags", ARRAY(sa.Text), nullable=False, server_default=NO_TEXTS),
    sa.Column("languages", ARRAY(sa.Text), nullable=False, server_default=NO_TEXTS),
    sa.Column("sections", JSONB, nullable=False, server_default=EMPTY_LIST),
    _int("clarify_seconds"),
    _int("design_seconds"),
    _int("max_questions"),
    _of("created_by", "users.id", null=True, delete="SET NULL"),
    _at("created_at", now=True),
    _at("updated_at", now=True),
    _one_of("type", "LLD", "HLD"),
    _one_of("difficulty", "easy", "medium", "hard"),
    _one_of("status", "draft", "coming_soon", "published", "retired"),
    _one_of("access", "free", "locked"),
)

question_companies = sa.Table(
    "question_companies",
    metadata,
    _of("question_id", "questions.id", primary_key=True),
    _text("name", primary_key=True),
    sa.Column("year", sa.Integer, primary_key=True, autoincrement=False),
    _text("source"),
)

clarification_rules = sa.Table(
    "clarification_rules",
    metadata,
    _id(),
    _of("question_id", "questions.id"),
    _text("intent"),
    _text("label"),
    _text("response"),
    _int("max_questions"),
    _int("weight", 1),
    sa.Column("keywords", ARRAY(sa.Text), nullable=False, server_default=NO_TEXTS),
    sa.Column("examples", ARRAY(sa.Text), nullable=False, server_default=NO_TEXTS),
    sa.UniqueConstraint("question_id", "intent"),
)

# --- interviews --------------------------------------------------------------------------------------------

interview_sessions = sa.Table(
    "interview_sessions",
    metadata,
    _id(),
    _of("user_id", "users.id"),
    _of("question_id", "questions.id", delete="RESTRICT"),
    _of("pack_hash", "question_packs.hash", delete="RESTRICT"),
    _text("phase"),
    _at("started_at"),
    _at("deadline_at"),
    _int("clarify_seconds"),
    _int("design_seconds"),
    _at("submitted_at", null=True),
    _int("epoch", 0),
    sa.Column("recorded_seq", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    _text("parked", null=True),
    _text("idempotency_key", null=True),
    _at("created_at", now=True),
    _one_of("phase", "clarifying", "design", "submitted"),
    sa.Index(ACTIVE, "user_id", "question_id", unique=True, postgresql_where=NOT_SUBMITTED),
    sa.Index("ix_interview_sessions_due", "deadline_at", postgresql_where=NOT_SUBMITTED),
    sa.Index("ix_interview_sessions_history", "user_id", sa.text("started_at DESC")),
    sa.Index(None, "question_id", "user_id", "started_at"),
)

interview_events = sa.Table(
    "interview_events",
    metadata,
    _of("interview_id", "interview_sessions.id", primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    _at("at"),
    _text("type"),
    sa.Column("body", BYTEA, nullable=False),  # the exact bytes of the frame
    _text("command_id", null=True),
    sa.Column("body_hash", BYTEA),
    sa.Column("outcome", BYTEA),
    sa.Index(
        "uq_interview_events_command",
        "interview_id",
        "command_id",
        unique=True,
        postgresql_where=sa.text("command_id IS NOT NULL"),
    ),
)

clarification_logs = sa.Table(
    "clarification_logs",
    metadata,
    _of("interview_id", "interview_sessions.id", primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    _text("text"),
    _text("kind"),
    _text("intent", null=True),
    _text("response"),
    sa.Column("charged", sa.Boolean, nullable=False),
    sa.Column("score", sa.REAL, nullable=False),
    sa.Column("margin", sa.REAL, nullable=False),
    _text("matcher"),
    _at("asked_at"),
    _at("refunded_at", null=True),
)

solutions = sa.Table(
    "solutions",
    metadata,
    _id(),
    _of("interview_id", "interview_sessions.id", unique=True),
    _text("functional_req", default=""),
    _text("non_functional_req", default=""),
    _text("entities", default=""),
    _text("classes_and_relationships", default=""),
    _text("apis", default=""),
    _text("code", default=""),
    _text("extra", default=""),
    _text("language"),
    _int("rev", 0),
    sa.Column("checksum", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    _at("submitted_at", null=True),  # null: the current draft
    _text("submitted_by", null=True),
    _flag("late"),
    _at("updated_at", now=True),
)

# --- judging -----------------------------------------------------------------------------------------------

evaluation_runs = sa.Table(
    "evaluation_runs",
    metadata,
    _of("interview_id", "interview_sessions.id", primary_key=True),
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    _text("state"),
    _int("attempt", 0),
    _int("forgiven", 0),  # attempts that count against nobody: given back, or ended well
    _at("lease_until", null=True),
    _text("lease_owner", null=True),
    _at("ring_at", now=True),
    _int("rings", 0),
    sa.Column("verdicts", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    sa.Column("tokens", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("cost", sa.Double, nullable=False, server_default=sa.text("0")),  # of what has a price
    _text("material", null=True, index=True),  # a hash of all that was judged, and by what
    sa.Column("appeal", JSONB(none_as_null=True)),  # what is appealed; null: the run judges all
    _flag("announced"),
    sa.Column("error", JSONB(none_as_null=True)),
    _at("created_at", now=True),
    _at("finished_at", null=True),
    _one_of("state", "queued", "running", "done", "failed"),
    sa.Index(
        "ix_evaluation_runs_ring",
        "ring_at",
        postgresql_where=sa.text("state IN ('queued', 'running') OR NOT announced"),
    ),
)

evaluations = sa.Table(
    "evaluations",
    metadata,
    _id(),
    _of("solution_id", "solutions.id", unique=True),
    _of("interview_id", "interview_sessions.id", index=True),
    _int("run"),
    sa.Column("score", sa.REAL, nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    _text("judge"),
    sa.Column("criteria", JSONB, nullable=False, server_default=EMPTY_LIST),
    sa.Column("strengths", JSONB, nullable=False, server_default=EMPTY_LIST),
    sa.Column("weaknesses", JSONB, nullable=False, server_default=EMPTY_LIST),
    sa.Column("improvements", JSONB, nullable=False, server_default=EMPTY_LIST),
    _text("narrative", default=""),
    sa.Column("band", JSONB(none_as_null=True)),
    sa.Column("first_shown", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    sa.Column("unasked", JSONB, nullable=False, server_default=EMPTY_LIST),
    sa.Column("appeals", JSONB, nullable=False, server_default=EMPTY_LIST),
    _int("appeals_left", 0),
    sa.Column("receipt", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    _text("rubric_version"),
    _at("created_at", now=True),
)

# What stays of the evaluations of people who left: for statistics, so with no way back to a person or to a text.
# A table of its own, and not rows of `evaluations` with holes: what is not copied here is gone, also columns to come.
past_results = sa.Table(
    "past_results",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True, server_default=sa.func.gen_random_uuid()),
    _of("question_id", "questions.id", index=True),
    _of("pack_hash", "question_packs.hash", delete="RESTRICT"),
    _text("rubric_version"),
    _text("judge"),
    sa.Column("score", sa.REAL, nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("criteria", JSONB, nullable=False, server_default=EMPTY_LIST),  # ids and numbers
    sa.Column("first_attempt", sa.Boolean, nullable=False),
    sa.Column("judged_on", sa.Date, nullable=False),  # a day: an instant would lead back through a log
)

# --- itself ------------------------------------------------------------------------------------------------

record_identity = sa.Table("record_identity", metadata, _id())  # one row, made with the table
