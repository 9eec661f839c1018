"""What each cover would do to the same gradients: one run of the small GPT with every cover as a shadow.

    OMP_NUM_THREADS=1 python -m benchmarks.covers --json covers.json

Trains language-model, tiny, on Python's standard library, SM3 under slices (lr 0.1, momentum 0.9, 50 % warm-up), and
prints after each of the asked steps, for slices, rows, columns, blocks of 64² and 8², whole and singletons under SM3-I
and SM3-II, and for the advisor's choice at twice the bytes of slices: bytes of all matrices, and level, spread and 99 %
quantile of the tightness log2(nu/gamma) in bits, estimated from 1,024 entries a tensor beside the whole truth. Figures
of tensors are averaged by their number of entries (spread: root of the mean square).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from math import sqrt
from pathlib import Path
from typing import Any

import torch

from server.worker.advising import advised
from server.worker.optimizers import build_optimizer, build_schedule
from server.worker.recipes.base import build
from sm3.probes.recorder import Recorder, Values
from sm3.remote.job_specs import JobSpec
from sm3.remote.record_specs import RecordSpec

COVERS: dict[str, dict[str, Any]] = {
    "slices": {"kind": "slices"},
    "rows": {"kind": "slices", "dims": [0]},
    "columns": {"kind": "slices", "dims": [1]},
    "blocks 64²": {"kind": "blocks", "tile": 64},
    "blocks 8²": {"kind": "blocks", "tile": 8},
    "whole": {"kind": "whole"},
    "singletons": {"kind": "singletons"},
}
FIGURES = ("level", "spread", "p99")


def main() -> None:
    """Parse the command line, train, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, nargs="*", default=[100, 400, 1000])
    parser.add_argument("--advice-steps", type=int, default=20, help="steps that the advisor measures on")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "sm3-scope-benchmarks")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = run(sorted(arguments.steps), arguments.cache, arguments.advice_steps)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False))


def run(steps: list[int], cache: Path, advice_steps: int) -> list[dict[str, Any]]:
    """Train to the last of ``steps``; print and return the rows of each."""
    spec = JobSpec.model_validate({"recipe": {"name": "language-model"}, "steps": 3000})
    task = build(spec.recipe, seed=0, device=torch.device("cpu"), cache_dir=cache, report=print)
    sizes = {name: p.numel() for name, p in task.model.named_parameters() if p.dim() > 1}
    shapes = {name: tuple(p.shape) for name, p in task.model.named_parameters()}
    slices_bytes = 4 * sum(sum(s) if len(s) > 1 else s[0] for s in shapes.values())
    advice_spec = spec.model_copy(
        update={
            "optimizer": spec.optimizer.model_validate({
                "name": "sm3",
                "cover": {"kind": "advise", "budget_bytes": 2 * slices_bytes, "steps": advice_steps},
            })
        }
    )
    advice = advised(advice_spec, task.model, task.train_batch, task.loss, lambda: True)
    assert advice is not None
    choices = [choice for choice in advice.choices if choice.name in sizes]
    for choice in choices:
        print(
            f"  advised for {choice.name:32} {choice.shape!s:14} {choice.cover!r}, {choice.num_bytes:,} bytes"
        )
    shadows = [
        {"cover": cover, "variant": variant, "label": f"{k}-{variant.lower()}"}
        for k, cover in enumerate(COVERS.values())
        for variant in ("I", "II")
    ]
    shadows += [
        {"cover": c.cover.spec(), "label": f"advised-{k}", "tensors": [c.name]} for k, c in enumerate(choices)
    ]
    record = {"every": 100, "probes": ["tightness"], "truth": ["*.weight"], "shadows": shadows}
    optimizer = build_optimizer(spec.optimizer, task.model)
    schedule = build_schedule(spec.schedule, optimizer, steps=spec.steps)
    recorder = Recorder(optimizer, RecordSpec.model_validate(record))
    found = []
    for step in range(1, steps[-1] + 1):
        task.loss(task.model, task.train_batch(step - 1)).backward()
        optimizer.step()
        recorder.observe()
        if step in steps:
            _, values = recorder.read(step, [0.1], everything=True)
            found += rows_of(step, values, sizes, {c.name: f"advised-{k}" for k, c in enumerate(choices)})
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
    return found


def rows_of(
    step: int, values: Values, sizes: dict[str, int], advised_labels: dict[str, str]
) -> list[dict[str, Any]]:
    """The table after one step; printed too."""
    cases: list[tuple[str, str, dict[str, str]]] = [
        (cover, variant, dict.fromkeys(sizes, f"{k}-{variant.lower()}"))
        for k, cover in enumerate(COVERS)
        for variant in ("I", "II")
    ]
    cases.append(("advised, 2 × slices", "II", advised_labels))
    print(f"\nafter {step:,} steps{'bytes':>26}" + "".join(f"{f'{f} (truth)':>18}" for f in FIGURES))
    found = []
    for cover, variant, labels in cases:
        num_bytes = sum(values[f"accumulator_bytes@{label}"] for label in dict.fromkeys(labels.values()))
        row: dict[str, Any] = {"step": step, "cover": cover, "variant": variant, "bytes": int(num_bytes)}
        for figure in FIGURES:
            for kind in ("tightness", "truth"):
                by_tensor = {
                    name: values[f"{kind}_{figure}@{label}/{name}"]
                    if cover != "singletons" or kind == "truth"
                    else values.get(f"{kind}_{figure}@{label}/{name}", 0.0)
                    for name, label in labels.items()
                }
                row[f"{kind}_{figure}"] = averaged(by_tensor, sizes, square=figure == "spread")
        found.append(row)
        cells = "".join(f"{row[f'tightness_{f}']:9.3f} ({row[f'truth_{f}']:6.3f})" for f in FIGURES)
        print(f"  {cover:22}{variant:3}{row['bytes']:>14,}{cells}")
    return found


def averaged(by_tensor: dict[str, float], sizes: dict[str, int], *, square: bool) -> float:
    """The mean over tensors by their number of entries; of a spread, the root of the mean square."""
    total = sum(sizes[name] for name in by_tensor)
    if square:
        return sqrt(sum(sizes[name] * value**2 for name, value in by_tensor.items()) / total)
    return sum(sizes[name] * value for name, value in by_tensor.items()) / total


if __name__ == "__main__":
    main()
