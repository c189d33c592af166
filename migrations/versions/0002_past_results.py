"""What statistics keep of evaluations whose owners have left."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE past_results (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    question_id uuid NOT NULL,
    pack_hash text NOT NULL,
    rubric_version text NOT NULL,
    judge text NOT NULL,
    score real NOT NULL,
    passed boolean NOT NULL,
    criteria jsonb NOT NULL DEFAULT '[]',
    first_attempt boolean NOT NULL,
    judged_on date NOT NULL,
    CONSTRAINT pk_past_results PRIMARY KEY (id),
    CONSTRAINT fk_past_results_question_id
        FOREIGN KEY (question_id) REFERENCES questions (id) ON DELETE CASCADE,
    CONSTRAINT fk_past_results_pack_hash
        FOREIGN KEY (pack_hash) REFERENCES question_packs (hash) ON DELETE RESTRICT
)
"""
INDEX = "CREATE INDEX ix_past_results_question_id ON past_results (question_id)"


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(INDEX)


def downgrade() -> None:
    op.drop_table("past_results")
