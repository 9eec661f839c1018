"""What statistics cost: step time with them over step time without, in alternation in one process.

    OMP_NUM_THREADS=1 python -m benchmarks.probes

Trains the small GPT (language-model, tiny, random tokens) in copies that differ in what they record and nothing else.
Each step of each copy is timed by CPU time, the copies in turn, in an order that rotates; a frame is made at its
cadence and encoded, as in a job. Ratios are of mean step times, so that frames count, over blocks of steps: the median
of the blocks and the range of their middle half.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

import torch

from server.worker.recipes.language_model import next_token_loss
from server.worker.recipes.model_gpt import GPTConfig, create_gpt
from sm3 import SM3
from sm3.probes.recorder import Recorder
from sm3.remote.frames import Frame, Point, Scalars, encode
from sm3.remote.record_specs import ProbeName, RecordSpec

SHADOWS = [
    {"cover": {"kind": "slices", "dims": [0]}},
    {"cover": {"kind": "slices", "dims": [1]}},
    {"cover": {"kind": "blocks", "tile": 64}},
]
RECORDS: dict[str, dict[str, Any] | None] = {
    "nothing": None,
    "default statistics": {},
    "default and three shadow covers": {"shadows": SHADOWS},
    "every probe": {"probes": [n for n in ProbeName if n != "poison"]},
    "default and whole truth": {"truth": ["*"]},
    "all of it": {"probes": list(ProbeName), "truth": ["*"], "shadows": SHADOWS},
}


@dataclass
class Copy:
    """One copy of the model in training."""

    model: torch.nn.Module
    optimizer: SM3
    recorder: Recorder | None
    frame_bytes: int = 0

    def step(self, step: int, batch: dict[str, torch.Tensor]) -> None:
        """One step, and its frame where one is due."""
        next_token_loss(self.model, batch).backward()
        if self.recorder is None:
            self.optimizer.step()
        else:
            self.recorder.before(step)
            self.optimizer.step()
            self.recorder.observe()
            if self.recorder.is_due(step):
                arrays, scalars = self.recorder.read(step, [0.1])
                points = Scalars.from_points(Point(name, step, value) for name, value in scalars.items())
                self.frame_bytes = len(encode(Frame("job", 0, step, step, 0.0, arrays, points)))
        self.optimizer.zero_grad()


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--steps", type=int, default=20, help="steps a block; a multiple of the cadence, 10")
    parser.add_argument("--only", nargs="*", default=list(RECORDS), choices=list(RECORDS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = GPTConfig(layers=2, width=128, heads=4, context=64, vocab=2048, tied=False)
    model = create_gpt(config, seed=0, device=torch.device("cpu"))
    names = list(dict.fromkeys(["nothing", *arguments.only]))
    copies = {name: make(model, RECORDS[name]) for name in names}
    times = run(copies, blocks=arguments.blocks, steps=arguments.steps)
    rows = {name: row(name, copies[name], times) for name in names}
    print(
        f"{'recorded':34}{'ms a step':>10}{'ratio':>8}{'middle half':>16}{'probe KiB':>11}{'frame KiB':>11}"
    )
    for name, r in rows.items():
        low, high = r["middle_half"]
        print(
            f"{name:34}{r['cpu_ms']:10.2f}{r['ratio']:8.3f}{f'{low:.3f}–{high:.3f}':>16}"
            f"{r['probe_bytes'] / 1024:11.1f}{r['frame_bytes'] / 1024:11.1f}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


def make(model: torch.nn.Module, record: dict[str, Any] | None) -> Copy:
    """A copy of the model with its own optimizer and recorder."""
    twin = copy.deepcopy(model)
    optimizer = SM3(twin.named_parameters(), lr=0.1)
    recorder = None if record is None else Recorder(optimizer, RecordSpec.model_validate(record))
    return Copy(twin, optimizer, recorder)


def run(copies: dict[str, Copy], *, blocks: int, steps: int) -> dict[str, list[float]]:
    """Mean CPU seconds a step in each block, by copy; one block first that does not count."""
    times: dict[str, list[float]] = {name: [] for name in copies}
    step = 0
    for block in range(blocks + 1):
        sums = dict.fromkeys(copies, 0.0)
        for _ in range(steps):
            step += 1
            tokens = torch.randint(2048, (8, 65))
            batch = {"inputs": tokens[:, :-1], "targets": tokens[:, 1:]}
            order = list(copies)
            turn = step % len(order)
            for name in order[turn:] + order[:turn]:
                start = time.process_time()
                copies[name].step(step, batch)
                sums[name] += time.process_time() - start
        if block:
            for name, total_s in sums.items():
                times[name].append(total_s / steps)
    return times


def row(name: str, timed: Copy, times: dict[str, list[float]]) -> dict[str, Any]:
    """What is printed of one copy."""
    ratios = [own / bare for own, bare in zip(times[name], times["nothing"], strict=True)]
    low, _, high = quantiles(ratios, n=4)
    return {
        "cpu_ms": 1e3 * mean(times[name]),
        "ratio": median(ratios),
        "middle_half": (low, high),
        "probe_bytes": 0 if timed.recorder is None else timed.recorder.probe_bytes,
        "frame_bytes": timed.frame_bytes,
    }


if __name__ == "__main__":
    main()
