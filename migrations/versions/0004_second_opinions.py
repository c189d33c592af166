"""What a result says beyond its score, and which run is an appeal."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE evaluations "
        "ADD COLUMN band jsonb, "
        "ADD COLUMN first_shown jsonb NOT NULL DEFAULT '{}', "
        "ADD COLUMN unasked jsonb NOT NULL DEFAULT '[]', "
        "ADD COLUMN appeals jsonb NOT NULL DEFAULT '[]', "
        "ADD COLUMN appeals_left integer NOT NULL DEFAULT 0"
    )
    op.execute("ALTER TABLE evaluation_runs ADD COLUMN appeal jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE evaluation_runs DROP COLUMN appeal")
    op.execute(
        "ALTER TABLE evaluations DROP COLUMN appeals_left, DROP COLUMN appeals, DROP COLUMN unasked, "
        "DROP COLUMN first_shown, DROP COLUMN band"
    )
