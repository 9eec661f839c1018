"""Frames by their step, as the dashboard goes back to earlier ones."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("frames_by_step", "frames", ["job_id", "step"])


def downgrade() -> None:
    op.drop_index("frames_by_step", "frames")
