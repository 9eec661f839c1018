"""Scalar points as CSV or Parquet, made piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

from server.archive import Sink
from sm3.remote.frames import Scalars


class ExportFormat(StrEnum):
    """As what scalar points can be had."""

    CSV = "csv"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        """Its media type."""
        return {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}[self.value]


def scalar_table(parts: Iterable[tuple[int, Scalars]], form: ExportFormat) -> Iterator[bytes]:
    """Yields a table of all points, piece by piece: columns ``attempt``, ``step``, ``series``, ``value``.

    Args:
        parts: (attempt, points); each becomes rows in its order. Memory holds one part at a time.
        form: CSV has a header line and writes NaN as ``nan``; Parquet has one row group a part.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    schema = pa.schema([
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("step", pa.int64(), nullable=False),
        pa.field(
            "series", pa.dictionary(pa.int32(), pa.string()) if form is ExportFormat.PARQUET else pa.string()
        ),
        pa.field("value", pa.float64(), nullable=False),
    ])
    sink = Sink()
    if form is ExportFormat.CSV:
        options = csv.WriteOptions(quoting_style="needed", quoting_header="none")
        writer = csv.CSVWriter(sink, schema, write_options=options)
    else:
        writer = parquet.ParquetWriter(sink, schema, compression="zstd")
    with writer:
        for attempt, scalars in parts:
            if len(scalars.step):
                writer.write_table(_table(attempt, scalars, schema))
                yield sink.take()
    yield sink.take()


def _table(attempt: int, scalars: Scalars, schema: Any) -> Any:
    import pyarrow as pa

    series = pa.DictionaryArray.from_arrays(pa.array(scalars.series, pa.int32()), list(scalars.names))
    columns = [
        pa.repeat(pa.scalar(attempt, pa.int32()), len(scalars.step)),
        pa.array(scalars.step),
        series.cast(schema.field("series").type),
        pa.array(scalars.value),
    ]
    return pa.Table.from_arrays(columns, schema=schema)
