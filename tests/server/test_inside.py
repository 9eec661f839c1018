"""Real jobs that look inside: statistics, truth, shadow covers and advice, end to end."""

from __future__ import annotations

import pytest

from sm3.covers import from_spec
from sm3.remote.frames import decode
from sm3.remote.wire import JobState
from tests.conftest import RunningService, tiny_job

RECORD = {
    "every": 10,
    "probes": ["accumulators", "rates", "tightness", "updates", "growth", "topk", "poison", "alike"],
    "probe_settings": {"topk": {"k": 5, "tensors": ["token_embedding.*"]}, "alike": {"every": "geometric"}},
    "truth": ["token_embedding.weight"],
    "shadows": [
        {"cover": {"kind": "whole"}},
        {"cover": {"kind": "blocks", "tile": 16}, "variant": "I", "label": "b16"},
    ],
}


def test_a_job_tells_tightness_of_its_cover_and_its_shadows(service: RunningService) -> None:
    with service.client as client:
        job = client.launch(tiny_job(record=RECORD))
        done = service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)
        assert done.memory is not None
        assert done.memory.probe_bytes > 4 * 2048 * 128  # the truth, at least
        assert done.memory.accumulator_bytes < 60_000  # and none of it counted as SM3's
        name = "token_embedding.weight"
        names = [f"tightness_level{shadow}/{name}" for shadow in ("", "@whole", "@b16")]
        names += [f"truth_level/{name}", f"tightness_level_lo/{name}", f"tightness_level_hi/{name}"]
        names += [f"update_ratio/{name}", f"growth/{name}", f"poisoned/{name}"]
        series = client.metrics(job.id, [*names, "accumulator_bytes@whole", "forward_s", "probe_s"]).series
        last = {n: s.values[-1] for n, s in series.items()}
        assert all(value is not None for value in last.values())
        assert 0 <= last[names[0]] < last["tightness_level@whole/" + name]  # type: ignore[operator]
        assert min(last["forward_s"], last["probe_s"]) > 0  # type: ignore[type-var]
        frame = decode(client.latest_frame(job.id))
        assert frame.arrays[f"topk/bound/{name}"].shape == (5,)
        assert frame.arrays[f"tightness@b16/grid/{name}"].shape == (64, 64)
        assert "topk/bound/head.weight" not in frame.arrays


def test_a_job_that_asks_the_advisor_tells_what_it_got_and_why(service: RunningService) -> None:
    with service.client as client:
        budget_bytes = 100_000
        cover = {"kind": "advise", "budget_bytes": budget_bytes, "steps": 4}
        job = client.launch(tiny_job(optimizer={"name": "sm3", "cover": cover}, steps=8))
        done = service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)
        advice = client.advice(job.id)
        assert len(advice) == len(client.tensors(job.id))
        assert done.memory is not None
        assert done.memory.accumulator_bytes == sum(a.num_bytes for a in advice) <= budget_bytes
        for told in advice:
            assert from_spec(told.cover)
        one = next(a for a in advice if a.cover["kind"] != "singletons")
        measured = client.metrics(job.id, [f"tightness_level/{one.name}"]).series
        assert measured[f"tightness_level/{one.name}"].values[-1] is not None
        assert one.expected["level"] >= 0


@pytest.mark.parametrize("name", ["adagrad", "adamw", "adafactor"])
def test_baselines_show_their_second_moments_in_the_same_frames(service: RunningService, name: str) -> None:
    with service.client as client:
        job = client.launch(tiny_job(optimizer={"name": name}, steps=4))
        service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)
        arrays = decode(client.latest_frame(job.id)).arrays
        assert arrays["accumulators/entries/token_embedding.weight"].shape == (256, 128)
        assert "accumulators/dim0/token_embedding.weight" not in arrays
