"""Parquet segments of sealed frames, and the data folder whose supervisor runs a job.

``frames.segment_id`` has no foreign key: SQLite could add one only by copying the table, frames and all.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "segments",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("job_id", sa.String(36), sa.ForeignKey("jobs.id", ondelete="SET NULL")),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("num_frames", sa.Integer, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("begun_s", sa.Double, nullable=False),
        sa.Column("sealed_s", sa.Double),
    )
    op.create_index("segments_by_job", "segments", ["job_id"])
    op.add_column("frames", sa.Column("segment_id", sa.String(36)))
    unsealed = sa.text("segment_id IS NULL")
    op.create_index(
        "frames_unsealed",
        "frames",
        ["job_id", "attempt", "seq"],
        sqlite_where=unsealed,
        postgresql_where=unsealed,
    )
    op.add_column("jobs", sa.Column("home", sa.String(36), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("jobs", "home")
    op.drop_index("frames_unsealed", "frames")
    op.drop_column("frames", "segment_id")
    op.drop_table("segments")
