"""Tokens, by the SHA-256 of their secrets."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scope", sa.String(8), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.Column("expires_s", sa.Double),
        sa.Column("last_used_s", sa.Double),
        sa.Column("rotated_s", sa.Double),
        sa.Column("old_digest", sa.String(64)),
        sa.Column("old_until_s", sa.Double),
        sa.Column("revoked_s", sa.Double),
    )
    op.create_index("tokens_by_digest", "tokens", ["digest"], unique=True)
    op.create_index("tokens_by_old_digest", "tokens", ["old_digest"])


def downgrade() -> None:
    op.drop_table("tokens")
