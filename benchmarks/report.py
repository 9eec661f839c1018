"""Turn what `benchmarks.step --json` wrote into the table and the chart of docs/benchmarks.md.

python -m benchmarks.report results.json docs/benchmarks-results.md docs/benchmarks.svg
"""

from __future__ import annotations

import argparse
import json
from html import escape
from pathlib import Path
from typing import Any

COLOURS = {"ours": "#0072B2", "torch": "#999999", "peer": "#D55E00", "floor": "#009E73"}


def main() -> None:
    """Read results, write the table and the chart."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("chart", type=Path)
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text())
    arguments.table.write_text(table(results))
    arguments.chart.write_text(chart(results))


def table(results: dict[str, Any]) -> str:
    """One Markdown table: contenders by rows, × fused AdamW / × floor by workload, then bytes on GPT-2-small."""
    workloads = results["workloads"]
    names = list(dict.fromkeys(name for rows in workloads.values() for name in rows))
    bytes_of = next(iter(workloads.values()))
    lines = [
        f"{results['machine']}; {results['threads']} thread; medians of {results['rounds']} rounds.",
        "",
        "| " + " | ".join(["× fused AdamW (× floor)", *workloads, "state MB", "transient MiB"]) + " |",
        "|---" + "|---:" * (len(workloads) + 2) + "|",
    ]
    for name in names:
        cells = [
            f"{rows[name]['to_adamw']:.2f} ({rows[name]['to_floor']:.2f})" if name in rows else "–"
            for rows in workloads.values()
        ]
        if name in bytes_of:
            row = bytes_of[name]
            cells += [f"{row['state_bytes'] / 1e6:,.2f}", f"{row['transient_bytes'] / 2**20:,.2f}"]
        else:
            cells += ["–", "–"]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    lines += ["", f"Bytes are of {next(iter(workloads))}."]
    return "\n".join(lines) + "\n"


def chart(results: dict[str, Any]) -> str:
    """Bars of × fused AdamW, a panel for each workload, as SVG; bars beyond 6× are cut and say so."""
    panels, y = [], 10
    for workload, rows in results["workloads"].items():
        panels.append(f'<text x="10" y="{y + 14}" font-weight="bold">{escape(workload)}</text>')
        y += 24
        for name, row in rows.items():
            ratio = row["to_adamw"]
            width = 80 * min(ratio, 6)
            more = " →" if ratio > 6 else ""
            panels.append(
                f'<text x="270" y="{y + 11}" text-anchor="end">{escape(name)}</text>'
                f'<rect x="280" y="{y + 1}" width="{width:.1f}" height="12" fill="{COLOURS[row["family"]]}"/>'
                f'<text x="{286 + width:.1f}" y="{y + 11}">{ratio:.2f}{more}</text>'
            )
            y += 16
        y += 12
    line = f'<line x1="360" y1="10" x2="360" y2="{y}" stroke="#666" stroke-dasharray="3 3"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="840" height="{y + 10}" font-family="sans-serif" '
        'font-size="11" role="img" aria-label="CPU time of a step as a ratio to fused AdamW">'
        f'<rect width="100%" height="100%" fill="white"/>{line}{"".join(panels)}</svg>\n'
    )


if __name__ == "__main__":
    main()
