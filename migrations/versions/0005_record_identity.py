"""What tells one record from another, also after it has moved to another server."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE record_identity (id uuid CONSTRAINT pk_record_identity PRIMARY KEY)")
    op.execute("INSERT INTO record_identity (id) VALUES (gen_random_uuid())")


def downgrade() -> None:
    op.execute("DROP TABLE record_identity")
