"""What predicts the loss? Races of covers over recipes and seeds, through the service's own comparisons.

    sm3 up --no-dashboard &                # or any running service; SM3_SLOTS says how many train at once
    OMP_NUM_THREADS=1 python -m benchmarks.races --json races.json

For each recipe: every cover at three learning rates with seed 0, half a decade apart, and at further ones until its
best is at no edge; each cover's best rate by its final held-out loss; then every cover at its best rate over the
seeds. Every job measures the tightness of its own cover (whole truth of all matrices) and how alike entries are. The
table correlates, over covers within a recipe, the mean final loss with each figure at the end of the run (Spearman's
rho; figures of tensors averaged by their number of entries), beside the spread between seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import isfinite, log2, sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from sm3.remote.client import Client
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.comparison_views import ComparisonView
from sm3.remote.settings import ClientSettings

COVERS: dict[str, dict[str, Any]] = {
    "slices": {"kind": "slices"},
    "rows": {"kind": "slices", "dims": [0]},
    "columns": {"kind": "slices", "dims": [1]},
    "blocks-64": {"kind": "blocks", "tile": 64},
    "blocks-8": {"kind": "blocks", "tile": 8},
    "slices-blocks-64": {"kind": "union", "members": [{"kind": "slices"}, {"kind": "blocks", "tile": 64}]},
    "whole": {"kind": "whole"},
    "singletons": {"kind": "singletons"},
}
RECIPES: dict[str, dict[str, Any]] = {
    "language-model": {"recipe": {"name": "language-model"}, "steps": 400},
    "images-mlp": {"recipe": {"name": "images", "model": "mlp"}, "steps": 800},
    "images-cnn": {"recipe": {"name": "images", "model": "cnn"}, "steps": 300},
}
FIRST_RATES = (-3, -2, -1)
"""In halves of a decade: 10^(k/2)."""
EDGES = (-7, 2)
SEEDS = (0, 1, 2)
PREDICTORS = ("level", "spread", "upper_tail", "worst", "snr", "log2_bytes")


@dataclass
class Runner:
    """One run at its tuned rate."""

    recipe: str
    cover: str
    rate: float
    seed: int
    final_loss: float
    figures: dict[str, float]


def main() -> None:
    """Parse the command line, race, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    settings = ClientSettings()
    runs: list[Runner] = []
    with Client(settings.url, settings.bearer(), timeout_s=60.0) as client:
        for recipe in arguments.recipes:
            runs += race(client, recipe)
            report(recipe, [run for run in runs if run.recipe == recipe])
            if arguments.json:
                arguments.json.write_text(json.dumps([asdict(run) for run in runs], indent=1))


def race(client: Client, recipe: str) -> list[Runner]:
    """Tune each cover's rate with seed 0, then run all seeds at it."""
    losses: dict[str, dict[int, float]] = {cover: {} for cover in COVERS}
    wanted = {cover: set(FIRST_RATES) for cover in COVERS}
    while any(wanted.values()):
        for k in sorted(set().union(*wanted.values())):
            racing = [cover for cover in COVERS if k in wanted[cover]]
            if len(racing) == 1:  # a comparison has at least two
                racing.append("slices" if racing != ["slices"] else "rows")
            comparison = wait(client, start(client, recipe, dict.fromkeys(racing, 10 ** (k / 2)), SEEDS[:1]))
            for cover, (loss, *_) in finals(client, comparison).items():
                losses[cover][k] = loss
        wanted = {cover: beyond(found) for cover, found in losses.items()}
    best = {cover: 10 ** (min(found, key=lambda k: found[k]) / 2) for cover, found in losses.items()}
    for cover, found in losses.items():
        row = "  ".join(f"{10 ** (k / 2):.3g}: {found[k]:.3f}" for k in sorted(found))
        print(f"  {recipe:15} {cover:17} best rate {best[cover]:.3g}; {row}", flush=True)
    comparison = wait(client, start(client, recipe, best, SEEDS))
    found = finals(client, comparison)
    return [
        Runner(recipe, cover, best[cover], seed, found[cover][k], figures(client, job))
        for cover, jobs in ((v.name, v.jobs) for v in comparison.variants)
        for k, (seed, job) in enumerate(zip(SEEDS, jobs, strict=True))
        if job is not None
    ]


def beyond(found: dict[int, float]) -> set[int]:
    """The next rate to try, where the best so far is at an edge of those tried."""
    best = min(found, key=lambda k: found[k])
    further = best - 1 if best == min(found) else best + 1 if best == max(found) else best
    return {further} if further not in found and EDGES[0] <= further <= EDGES[1] else set()


def start(client: Client, recipe: str, rates: dict[str, float], seeds: tuple[int, ...]) -> ComparisonView:
    """Queue every cover at its rate and every seed."""
    setup = RECIPES[recipe]
    record = {"every": setup["steps"] // 4, "probes": ["tightness", "alike"], "truth": ["*.weight"]}
    spec = ComparisonSpec.model_validate({
        "base": {**setup, "record": record, "validation": {"every": setup["steps"]}},
        "variants": [
            {"name": cover, "change": {"optimizer": {"cover": COVERS[cover], "lr": rate}}}
            for cover, rate in rates.items()
        ],
        "seeds": list(seeds),
        "label": f"{recipe}, {'tuning' if len(seeds) == 1 else 'tuned'}",
    })
    return client.compare(spec)


def wait(client: Client, comparison: ComparisonView) -> ComparisonView:
    """Wait until all its jobs have ended."""
    while not comparison.is_final:
        time.sleep(2)
        comparison = client.comparison(comparison.id)
    return comparison


def finals(client: Client, comparison: ComparisonView) -> dict[str, list[float]]:
    """Final held-out loss by cover and seed; infinite where a run diverged or failed."""
    statistics = client.comparison_statistics(comparison.id)
    return {
        variant.name: [float("inf") if r.final_loss is None else r.final_loss for r in variant.runs]
        for variant in statistics.variants
    }


def figures(client: Client, job: str) -> dict[str, float]:
    """What the run measured of its own cover at its end, averaged over matrices by their entries."""
    sizes = {t.name: int(np.prod(t.shape)) for t in client.tensors(job) if len(t.shape) > 1}
    parts = {
        "level": "truth_level",
        "spread": "truth_spread",
        "p99": "truth_p99",
        "worst": "truth_worst",
        "snr": "snr_p50",
    }
    names = [f"{series}/{tensor}" for series in parts.values() for tensor in sizes]
    series: dict[str, Any] = {}
    for first in range(0, len(names), 50):
        available = client.metrics(job, names=[]).available
        wanted = [name for name in names[first : first + 50] if name in available]
        series |= client.metrics(job, names=wanted).series if wanted else {}
    found = {}
    for part, statistic in parts.items():
        last = {
            tensor: held.values[-1]
            for tensor in sizes
            if (held := series.get(f"{statistic}/{tensor}")) and held.values[-1] is not None
        }
        total = sum(sizes[tensor] for tensor in last)
        square = part == "spread"
        value = (
            sum(sizes[t] * (v**2 if square else v) for t, v in last.items()) / total
            if total
            else float("nan")
        )
        found[part] = sqrt(value) if square else value
    found["upper_tail"] = found["p99"] - found["level"]
    memory = client.job(job).memory
    found["log2_bytes"] = log2(memory.accumulator_bytes) if memory else float("nan")
    return found


def report(recipe: str, runs: list[Runner]) -> None:
    """Print the covers by loss, and the correlations."""
    by_cover = {cover: [r for r in runs if r.cover == cover] for cover in COVERS}
    losses = {cover: [r.final_loss for r in own] for cover, own in by_cover.items()}
    shown = {c: {p: mean(r.figures[p] for r in own) for p in PREDICTORS} for c, own in by_cover.items()}
    print(f"\n{recipe}: final held-out loss over {len(SEEDS)} seeds at each cover's tuned rate")
    print(f"  {'cover':17}{'rate':>6}{'loss':>9}{'± seeds':>9}" + "".join(f"{p:>12}" for p in PREDICTORS))
    for cover in sorted(losses, key=lambda c: mean(losses[c])):
        cells = "".join(f"{shown[cover][p]:12.3f}" for p in PREDICTORS)
        rate, own = by_cover[cover][0].rate, losses[cover]
        print(f"  {cover:17}{rate:6.3g}{mean(own):9.4f}{stdev(own):9.4f}{cells}")
    by_loss = [mean(losses[cover]) for cover in COVERS]
    rhos = [spearman([shown[cover][p] for cover in COVERS], by_loss) for p in PREDICTORS]
    row = "".join(f"{rho:12.2f}" for rho in rhos)
    print(f"  {'Spearman with loss':41}{row}\n", flush=True)


def spearman(x: list[float], y: list[float]) -> float:
    """Spearman's rank correlation of the pairs that are finite, with mean ranks for ties."""
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if isfinite(a) and isfinite(b)]
    if len(pairs) < 3:
        return float("nan")
    ranks = [_ranks([pair[k] for pair in pairs]) for k in (0, 1)]
    if any(len(set(r.tolist())) < 2 for r in ranks):
        return float("nan")
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: list[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values))
    starts = [0, *(k for k, (a, b) in enumerate(pairwise(order), 1) if values[a] != values[b]), len(values)]
    for begin, end in pairwise(starts):
        ranks[order[begin:end]] = (begin + end - 1) / 2
    return ranks


if __name__ == "__main__":
    main()
