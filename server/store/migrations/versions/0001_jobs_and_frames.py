"""Jobs, transitions, frames and scalar history."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _job_id() -> sa.Column[str]:
    return sa.Column("job_id", sa.String(36), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.Column("started_s", sa.Double),
        sa.Column("finished_s", sa.Double),
        sa.Column("ingest_digest", sa.String(64), nullable=False),
        sa.Column("summary", sa.Text),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("frames", sa.BigInteger, nullable=False),
        sa.Column("last_frame_s", sa.Double),
        sa.Column("latest", sa.Text, nullable=False),
    )
    op.create_index("jobs_by_state", "jobs", ["state", "id"])
    op.create_table("manifests", _job_id(), sa.Column("body", sa.Text, nullable=False))
    op.create_table(
        "transitions",
        _job_id(),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
    )
    op.create_table(
        "frames",
        _job_id(),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("scalars", sa.LargeBinary, nullable=False),
        sa.Column("blob", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "scalar_chunks",
        _job_id(),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("scope", sa.String(8), primary_key=True),
        sa.Column("first_seq", sa.BigInteger, primary_key=True),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("blob", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    for table in ("scalar_chunks", "frames", "transitions", "manifests", "jobs"):
        op.drop_table(table)
