"""Every table, from empty. Written once, never changed: what comes later is a revision of its own."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
    email_otps
    question_packs
    users
    questions
    user_auth_sessions
    clarification_rules
    interview_sessions
    question_companies
    clarification_logs
    evaluation_runs
    interview_events
    solutions
    evaluations
""".split()

SQL = """
CREATE TABLE email_otps (
    id uuid NOT NULL,
    email text NOT NULL,
    email_key text NOT NULL,
    code_hash bytea NOT NULL,
    browser_hash bytea NOT NULL,
    browser_known boolean NOT NULL DEFAULT false,
    failures integer NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL,
    consumed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_email_otps PRIMARY KEY (id)
);

CREATE INDEX ix_email_otps_created_at ON email_otps (created_at);

CREATE INDEX ix_email_otps_email_key_created_at ON email_otps (email_key, created_at);

CREATE TABLE question_packs (
    hash text NOT NULL,
    slug text NOT NULL,
    version integer NOT NULL,
    body bytea NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_question_packs PRIMARY KEY (hash)
);

CREATE INDEX ix_question_packs_slug ON question_packs (slug);

CREATE TABLE users (
    id uuid NOT NULL,
    email text NOT NULL,
    email_key text NOT NULL,
    name text NOT NULL DEFAULT '',
    avatar_url text,
    google_sub text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT uq_users_email_key UNIQUE (email_key),
    CONSTRAINT uq_users_google_sub UNIQUE (google_sub)
);

CREATE TABLE questions (
    id uuid NOT NULL,
    slug text NOT NULL,
    title text NOT NULL,
    type text NOT NULL,
    difficulty text NOT NULL,
    status text NOT NULL,
    access text NOT NULL,
    statement text NOT NULL,
    pack_hash text NOT NULL,
    tags text[] NOT NULL DEFAULT '{}',
    languages text[] NOT NULL DEFAULT '{}',
    sections jsonb NOT NULL DEFAULT '[]',
    clarify_seconds integer NOT NULL,
    design_seconds integer NOT NULL,
    max_questions integer NOT NULL,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_questions PRIMARY KEY (id),
    CONSTRAINT ck_questions_type CHECK (type IN ('LLD', 'HLD')),
    CONSTRAINT ck_questions_difficulty CHECK (difficulty IN ('easy', 'medium', 'hard')),
    CONSTRAINT ck_questions_status CHECK (status IN ('draft', 'coming_soon', 'published', 'retired')),
    CONSTRAINT ck_questions_access CHECK (access IN ('free', 'locked')),
    CONSTRAINT uq_questions_slug UNIQUE (slug),
    CONSTRAINT fk_questions_pack_hash
        FOREIGN KEY (pack_hash) REFERENCES question_packs (hash) ON DELETE RESTRICT,
    CONSTRAINT fk_questions_created_by FOREIGN KEY (created_by) REFERENCES users (id) ON DELETE SET NULL
);

CREATE TABLE user_auth_sessions (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    refresh_hash bytea NOT NULL,
    previous_hash bytea,
    successor_sealed bytea,
    client_hash bytea NOT NULL,
    browser_hash bytea,
    method text NOT NULL,
    rotated_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_why text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_user_auth_sessions PRIMARY KEY (id),
    CONSTRAINT ck_user_auth_sessions_method CHECK (method IN ('code', 'google')),
    CONSTRAINT fk_user_auth_sessions_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX ix_user_auth_sessions_browser_hash ON user_auth_sessions (browser_hash);

CREATE INDEX ix_user_auth_sessions_user_id ON user_auth_sessions (user_id);

CREATE TABLE clarification_rules (
    id uuid NOT NULL,
    question_id uuid NOT NULL,
    intent text NOT NULL,
    label text NOT NULL,
    response text NOT NULL,
    max_questions integer NOT NULL,
    weight integer NOT NULL DEFAULT 1,
    keywords text[] NOT NULL DEFAULT '{}',
    examples text[] NOT NULL DEFAULT '{}',
    CONSTRAINT pk_clarification_rules PRIMARY KEY (id),
    CONSTRAINT uq_clarification_rules_question_id_intent UNIQUE (question_id, intent),
    CONSTRAINT fk_clarification_rules_question_id
        FOREIGN KEY (question_id) REFERENCES questions (id) ON DELETE CASCADE
);

CREATE TABLE interview_sessions (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    question_id uuid NOT NULL,
    pack_hash text NOT NULL,
    phase text NOT NULL,
    started_at timestamptz NOT NULL,
    deadline_at timestamptz NOT NULL,
    clarify_seconds integer NOT NULL,
    design_seconds integer NOT NULL,
    submitted_at timestamptz,
    epoch integer NOT NULL DEFAULT 0,
    recorded_seq bigint NOT NULL DEFAULT 0,
    parked text,
    idempotency_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_interview_sessions PRIMARY KEY (id),
    CONSTRAINT ck_interview_sessions_phase CHECK (phase IN ('clarifying', 'design', 'submitted')),
    CONSTRAINT fk_interview_sessions_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT fk_interview_sessions_question_id
        FOREIGN KEY (question_id) REFERENCES questions (id) ON DELETE RESTRICT,
    CONSTRAINT fk_interview_sessions_pack_hash
        FOREIGN KEY (pack_hash) REFERENCES question_packs (hash) ON DELETE RESTRICT
);

CREATE INDEX ix_interview_sessions_due ON interview_sessions (deadline_at) WHERE phase <> 'submitted';

CREATE INDEX ix_interview_sessions_history ON interview_sessions (user_id, started_at DESC);

CREATE INDEX ix_interview_sessions_question_id_user_id_started_at
    ON interview_sessions (question_id, user_id, started_at);

CREATE UNIQUE INDEX uq_interview_sessions_active
    ON interview_sessions (user_id, question_id) WHERE phase <> 'submitted';

CREATE TABLE question_companies (
    question_id uuid NOT NULL,
    name text NOT NULL,
    year integer NOT NULL,
    source text NOT NULL,
    CONSTRAINT pk_question_companies PRIMARY KEY (question_id, name, year),
    CONSTRAINT fk_question_companies_question_id
        FOREIGN KEY (question_id) REFERENCES questions (id) ON DELETE CASCADE
);

CREATE TABLE clarification_logs (
    interview_id uuid NOT NULL,
    seq bigint NOT NULL,
    text text NOT NULL,
    kind text NOT NULL,
    intent text,
    response text NOT NULL,
    charged boolean NOT NULL,
    score real NOT NULL,
    margin real NOT NULL,
    matcher text NOT NULL,
    asked_at timestamptz NOT NULL,
    refunded_at timestamptz,
    CONSTRAINT pk_clarification_logs PRIMARY KEY (interview_id, seq),
    CONSTRAINT fk_clarification_logs_interview_id
        FOREIGN KEY (interview_id) REFERENCES interview_sessions (id) ON DELETE CASCADE
);

CREATE TABLE evaluation_runs (
    interview_id uuid NOT NULL,
    run integer NOT NULL,
    state text NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    lease_until timestamptz,
    lease_owner text,
    ring_at timestamptz NOT NULL DEFAULT now(),
    rings integer NOT NULL DEFAULT 0,
    verdicts jsonb NOT NULL DEFAULT '{}',
    announced boolean NOT NULL DEFAULT false,
    error jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT pk_evaluation_runs PRIMARY KEY (interview_id, run),
    CONSTRAINT ck_evaluation_runs_state CHECK (state IN ('queued', 'running', 'done', 'failed')),
    CONSTRAINT fk_evaluation_runs_interview_id
        FOREIGN KEY (interview_id) REFERENCES interview_sessions (id) ON DELETE CASCADE
);

CREATE INDEX ix_evaluation_runs_ring
    ON evaluation_runs (ring_at) WHERE state IN ('queued', 'running') OR NOT announced;

CREATE TABLE interview_events (
    interview_id uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    type text NOT NULL,
    body bytea NOT NULL,
    command_id text,
    body_hash bytea,
    outcome bytea,
    CONSTRAINT pk_interview_events PRIMARY KEY (interview_id, seq),
    CONSTRAINT fk_interview_events_interview_id
        FOREIGN KEY (interview_id) REFERENCES interview_sessions (id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX uq_interview_events_command
    ON interview_events (interview_id, command_id) WHERE command_id IS NOT NULL;

CREATE TABLE solutions (
    id uuid NOT NULL,
    interview_id uuid NOT NULL,
    functional_req text NOT NULL DEFAULT '',
    non_functional_req text NOT NULL DEFAULT '',
    entities text NOT NULL DEFAULT '',
    classes_and_relationships text NOT NULL DEFAULT '',
    apis text NOT NULL DEFAULT '',
    code text NOT NULL DEFAULT '',
    extra text NOT NULL DEFAULT '',
    language text NOT NULL,
    rev integer NOT NULL DEFAULT 0,
    checksum bigint NOT NULL DEFAULT 0,
    submitted_at timestamptz,
    submitted_by text,
    late boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_solutions PRIMARY KEY (id),
    CONSTRAINT uq_solutions_interview_id UNIQUE (interview_id),
    CONSTRAINT fk_solutions_interview_id
        FOREIGN KEY (interview_id) REFERENCES interview_sessions (id) ON DELETE CASCADE
);

CREATE TABLE evaluations (
    id uuid NOT NULL,
    solution_id uuid NOT NULL,
    interview_id uuid NOT NULL,
    run integer NOT NULL,
    score real NOT NULL,
    passed boolean NOT NULL,
    judge text NOT NULL,
    criteria jsonb NOT NULL DEFAULT '[]',
    strengths jsonb NOT NULL DEFAULT '[]',
    weaknesses jsonb NOT NULL DEFAULT '[]',
    improvements jsonb NOT NULL DEFAULT '[]',
    narrative text NOT NULL DEFAULT '',
    receipt jsonb NOT NULL DEFAULT '{}',
    rubric_version text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_evaluations PRIMARY KEY (id),
    CONSTRAINT uq_evaluations_solution_id UNIQUE (solution_id),
    CONSTRAINT fk_evaluations_solution_id
        FOREIGN KEY (solution_id) REFERENCES solutions (id) ON DELETE CASCADE,
    CONSTRAINT fk_evaluations_interview_id
        FOREIGN KEY (interview_id) REFERENCES interview_sessions (id) ON DELETE CASCADE
);

CREATE INDEX ix_evaluations_interview_id ON evaluations (interview_id);
"""


def upgrade() -> None:
    for statement in SQL.split(";"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
