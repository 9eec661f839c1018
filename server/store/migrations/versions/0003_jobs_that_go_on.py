"""Jobs that go on: retries, priorities, labels and notes that can be changed, idempotent creation."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS = (
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
    sa.Column("recipe", sa.String(64), nullable=False, server_default=""),
    sa.Column("labels", sa.Text, nullable=False, server_default="{}"),
    sa.Column("notes", sa.Text, nullable=False, server_default=""),
    sa.Column("words", sa.Text, nullable=False, server_default=""),
    sa.Column("cloned_from", sa.String(36)),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("body_digest", sa.String(64)),
    sa.Column("base_step", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("warning", sa.Text, nullable=False, server_default=""),
)


def upgrade() -> None:
    for column in _COLUMNS:
        op.add_column("jobs", column)
    op.add_column("comparisons", sa.Column("idempotency_key", sa.String(255)))
    op.add_column("comparisons", sa.Column("body_digest", sa.String(64)))
    op.create_index("jobs_by_key", "jobs", ["idempotency_key"], unique=True)
    op.create_index("comparisons_by_key", "comparisons", ["idempotency_key"], unique=True)
    op.create_index("jobs_by_priority", "jobs", ["state", "priority", "id"])
    op.create_table(
        "job_labels",
        sa.Column("job_id", sa.String(36), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(128), nullable=False),
    )
    op.create_index("job_labels_by_value", "job_labels", ["key", "value", "job_id"])
    _fill()


def _fill() -> None:
    """Takes what the new columns repeat of a job's spec from the specs that are there."""
    jobs = sa.table("jobs", *(sa.column(name) for name in ("id", "spec", "recipe", "labels", "words")))
    job_labels = sa.table("job_labels", *(sa.column(name) for name in ("job_id", "key", "value")))
    connection = op.get_bind()
    for job_id, text in connection.execute(sa.select(jobs.c.id, jobs.c.spec)).all():
        spec = json.loads(text)
        recipe, labels = spec["recipe"]["name"], spec.get("labels", {})
        words = [job_id, recipe, spec.get("optimizer", {}).get("name", "sm3")]
        words += [word for pair in labels.items() for word in pair]
        connection.execute(
            sa
            .update(jobs)
            .where(jobs.c.id == job_id)
            .values(recipe=recipe, labels=json.dumps(labels), words="\n".join(words).lower())
        )
        for key, value in labels.items():
            connection.execute(sa.insert(job_labels).values(job_id=job_id, key=key, value=value))


def downgrade() -> None:
    op.drop_table("job_labels")
    for table, index in (
        ("jobs", "jobs_by_priority"),
        ("jobs", "jobs_by_key"),
        ("comparisons", "comparisons_by_key"),
    ):
        op.drop_index(index, table)
    for column in _COLUMNS:
        op.drop_column("jobs", column.name)
    for name in ("idempotency_key", "body_digest"):
        op.drop_column("comparisons", name)
