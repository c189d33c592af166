"""What a run took, what it judged, and which of its attempts count against nobody."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE evaluation_runs "
        "ADD COLUMN forgiven integer NOT NULL DEFAULT 0, "
        "ADD COLUMN tokens bigint NOT NULL DEFAULT 0, "
        "ADD COLUMN cost double precision NOT NULL DEFAULT 0, "
        "ADD COLUMN material text"
    )
    op.execute("UPDATE evaluation_runs SET forgiven = attempt WHERE state IN ('done', 'failed')")
    op.execute("CREATE INDEX ix_evaluation_runs_material ON evaluation_runs (material)")


def downgrade() -> None:
    op.execute("DROP INDEX ix_evaluation_runs_material")
    op.execute(
        "ALTER TABLE evaluation_runs DROP COLUMN material, DROP COLUMN cost, DROP COLUMN tokens, DROP COLUMN forgiven"
    )
