"""What the Memory page asks, says and draws, computed on the ledger's own answers."""

from __future__ import annotations

import re

import pytest

from dashboard.figures import byte_words, memory, memory_fit, memory_job, memory_tensors
from dashboard.figures.cover_names import cover_name
from dashboard.figures.cover_words import COMMON, cover_of, rules_of
from dashboard.figures.memory import Answers
from dashboard.figures.memory_question import MOMENTA, SAME, WEIGHTS, WhatIf, question
from server.job_ledger import job_ledger
from sm3.ledger.answers import answer
from sm3.remote.cover_specs import SlicesSpec, UnionSpec
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import AdvisedTensor, JobView

GIB = 2**30


def answered(
    what_if: WhatIf | None = None, *, model: str = "bert-large", job: JobView | None = None
) -> Answers:
    asked = question(what_if or WhatIf(), model=model, job=job)
    own = None if job is None else job_ledger(job.spec, None, {})
    return Answers(answer(asked.detail), answer(asked.rest), asked, model, own)


def job(**changes: object) -> JobView:
    spec = JobSpec.model_validate({"recipe": {"name": "language-model"}, **changes})
    return JobView.model_validate({
        "id": "01a2-job",
        "state": "queued",
        "attempt": 0,
        "created_at": "2026-01-01T00:00:00Z",
        "spec": spec,
        "progress": {"steps": spec.steps},
    })


# ── what is asked


def test_every_cover_that_the_list_offers_is_one() -> None:
    assert [cover_of(words).kind for words in COMMON]
    assert cover_of("rows") == SlicesSpec(dims=(0,))
    assert isinstance(cover_of("slices + blocks 64"), UnionSpec)


@pytest.mark.parametrize("words", ["", "rowz", "blocks", "blocks 0", "slices +", "blocks 64 + <b>"])
def test_what_is_no_cover_is_told_with_what_there_is(words: str) -> None:
    with pytest.raises(ValueError, match=r"is no cover.*slices, rows, columns"):
        cover_of(words)


def test_rules_are_globs_with_covers_in_their_order() -> None:
    first, second = rules_of(" *embed* = rows;\n*=blocks 8x2 ")
    assert (first.match, first.cover) == ("*embed*", SlicesSpec(dims=(0,)))
    assert (second.match, second.cover.kind) == ("*", "blocks")
    with pytest.raises(ValueError, match="“embed” is no rule"):
        rules_of("embed")


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_controls_become_specs_that_the_ledger_answers(momentum: str, weights: str) -> None:
    answers = answered(WhatIf(momentum=momentum, weights=weights), model="gpt2-small")
    total = answers.chosen.total
    assert (total.momentum_bytes == 0) == (momentum == "none")
    assert (total.master_bytes > 0) == (weights == "bf16 + fp32 copy")


def test_what_no_control_holds_is_told() -> None:
    with pytest.raises(ValueError, match="momentum “fp64” is none of fp32"):
        question(WhatIf(momentum="fp64"), model="gpt2-small")
    with pytest.raises(ValueError, match="weights “int4” are none of fp32"):
        question(WhatIf(weights="int4"), model="gpt2-small")


def test_a_jobs_own_settings_stand_until_a_control_changes_them() -> None:
    own = {"name": "sm3", "momentum": 0.0, "rules": [{"match": "*embed*", "cover": {"kind": "whole"}}]}
    of = job(optimizer=own)
    same = question(WhatIf(cover=SAME, momentum=SAME), job=of)
    assert (same.chosen, same.base) == (of.spec.optimizer, None)
    assert same.detail.recipe == of.spec.recipe
    changed = question(WhatIf(cover="rows", momentum="bf16"), job=of)
    assert (changed.chosen.cover, changed.chosen.rules) == (SlicesSpec(dims=(0,)), ())
    assert (changed.chosen.momentum, changed.chosen.momentum_dtype) == (0.9, "bf16")
    assert changed.base == of.spec.optimizer


# ── what is said


def test_the_headline_is_the_message_of_the_case() -> None:
    assert memory.headline(answered()) == "SM3 keeps 1.26 GiB of state, AdamW 2.51 GiB: 1.25 GiB back."
    assert memory.headline(answered(WhatIf(cover="singletons"))).endswith("AdamW 2.51 GiB: no difference.")
    mine = answered(WhatIf(cover=SAME, momentum=SAME), job=job(optimizer={"name": "adamw"}))
    assert memory.headline(mine) == (
        "This job’s AdamW keeps 7.09 MiB of state, SM3 would keep 3.59 MiB: 3.50 MiB back."
    )
    changed = answered(WhatIf(cover=SAME, momentum="none"), job=job())
    assert memory.headline(changed).startswith("SM3 would keep ")


def test_the_line_below_counts_the_accumulators() -> None:
    assert "1.25 GiB of momentum and 3.20 MiB of accumulators: 837,754 of them" in memory.about(answered())
    assert "no momentum" in memory.about(answered(WhatIf(momentum="none")))


def test_bars_are_the_ledgers_numbers_and_add_up() -> None:
    answers = answered(WhatIf(cover="blocks 64", momentum="int8"))
    chart = memory.bars(answers, whole=False)
    names = [row[0] for row in chart.table.rows]
    assert names == [
        "SM3, blocks-64, momentum int8",
        "AdamW",
        "SM3, momentum fp32 (default)",
        "SM3, blocks-64, no momentum",
        "8-bit AdamW",
        "AdaGrad",
        "Adafactor",
    ]
    ledgers = [*answers.detail.ledgers, *answers.rest.ledgers]
    assert [row[-2] for row in chart.table.rows] == [each.total.state_bytes for each in ledgers]
    assert all(sum(row[1:-2]) == row[-2] for row in chart.table.rows)
    *series, totals = chart.data
    assert [sum(column) for column in zip(*(bar["x"] for bar in series), strict=True)] == totals["x"]
    assert len({bar["marker"]["pattern"]["shape"] for bar in series}) == len(series)
    assert "× less than AdamW" in totals["text"][3]


def test_the_peak_has_weights_gradients_and_the_steps_own_too() -> None:
    answers = answered(WhatIf(weights="bf16 + fp32 copy"))
    chart = memory.bars(answers, whole=True)
    assert [column.name for column in chart.table.columns][1:4] == ["weights", "gradients", "fp32 copies"]
    total = answers.adamw.total
    assert chart.table.rows[1][-2] == total.held_bytes + total.transient_bytes


@pytest.mark.parametrize("largest", [0, 1, 900, 1024, 47_600, 3 * 2**20, 2.6 * GIB, 59.83 * GIB, 2**45])
def test_an_axis_has_whole_marks_within_its_range(largest: float) -> None:
    values, texts = byte_words.ticks(largest)
    assert values[0] == 0
    assert values[-1] <= largest * 1.0001
    assert len(values) == len(texts) <= 11
    assert all(re.fullmatch(r"[\d.]+( \w+)?", text) for text in texts)


# ── tensors


def test_the_table_has_every_tensor_with_its_formula_and_adds_up() -> None:
    answers = answered(WhatIf(momentum="none"))
    chart = memory_tensors.table(answers, name="bert-large")
    assert len(chart.table.rows) == answers.model.num_tensors == 398
    by_name = {row[0]: row for row in chart.table.rows}
    row = by_name["bert.embeddings.word_embeddings.weight"]
    assert row[1:7] == (
        "30,522 × 1,024",
        "slices",
        "30,522 + 1,024",
        31_546,
        4 * 31_546,
        8 * 30_522 * 1024 + 4,
    )
    assert row[7] == pytest.approx(1981, rel=1e-3)
    assert sum(row[5] for row in chart.table.rows) == answers.chosen.total.state_bytes
    assert sum(row[4] for row in chart.table.rows) == 837_754
    states = [row[5] for row in chart.table.rows]
    assert states == sorted(states, reverse=True)


@pytest.mark.parametrize("model", ["llama-3-8b", "bert-large", "resnet-50", "language-model-tiny"])
@pytest.mark.parametrize("by", ["× saved", "part"])
@pytest.mark.parametrize("whole", [False, True])
def test_tiles_fill_their_parents_to_the_byte_and_stay_few(
    model: str, by: memory_tensors.Tiles, whole: bool
) -> None:
    answers = answered(WhatIf(momentum="bf16", activations_mib=100.0), model=model)
    drawn = memory_tensors.tiles(answers, by, whole=whole)
    assert len({tile.id for tile in drawn}) == len(drawn) < 450
    inside: dict[str, int] = {}
    for tile in drawn:
        inside[tile.parent] = inside.get(tile.parent, 0) + tile.num_bytes
    for tile in drawn:
        assert inside.get(tile.id, tile.num_bytes) == tile.num_bytes
    total = answers.chosen.total
    assert drawn[0].num_bytes == (total.held_bytes if whole else total.state_bytes)


def test_small_tensors_are_one_tile_and_every_tile_says_how_it_is_counted() -> None:
    drawn = memory_tensors.tiles(answered(model="llama-3-8b"), "× saved", whole=False)
    (others,) = [tile for tile in drawn if tile.label.endswith("others")]
    assert others.label == "65 others"  # the norms
    (embedding,) = [tile for tile in drawn if tile.id == "model.embed_tokens.weight"]
    assert "128,256 + 4,096 = 132,352 accumulators" in embedding.hover
    assert {tile.label for tile in drawn if tile.parent == "all"} >= {
        "mlp.gate_proj × 32",
        "self_attn.q_proj × 32",
    }


def test_a_name_cannot_write_markup_into_a_tile() -> None:
    tensors = [{"name": "<a href=x>.0", "shape": [64, 64]}, {"name": "<a href=x>.1", "shape": [64, 64]}]
    asked = question(WhatIf(), model="gpt2-small").without_fit
    change = {"model": None, "tensors": tensors}
    detail, rest = (
        type(spec).model_validate(spec.model_dump() | change) for spec in (asked.detail, asked.rest)
    )
    drawn = memory_tensors.tiles(Answers(answer(detail), answer(rest), asked, "mine"), "× saved", whole=False)
    assert not any("<a" in tile.label + tile.hover for tile in drawn)


# ── what fits, and what was measured


def test_what_fits_is_said_in_the_title_and_divides_as_it_says() -> None:
    answers = answered(WhatIf(memory_gib=16, tokens=128))
    chart = memory_fit.chart(answers, 16)
    assert chart.title.startswith("In 16 GiB: SM3 a batch of ")
    for _, held, a_sample, batch, peak, largest in chart.table.rows:
        assert held + a_sample * batch <= peak <= 16 * GIB < held + a_sample * (batch + 1)
        assert largest == "bert-large"
    assert (
        chart.title == f"In 16 GiB: SM3 a batch of {chart.table.rows[0][3]}, AdamW {chart.table.rows[1][3]}"
    )


def test_where_nothing_fits_or_nothing_is_known_it_is_said() -> None:
    chart = memory_fit.chart(answered(WhatIf(memory_gib=1)), 1)
    assert chart.title == "In 1 GiB not one sample fits, under either"
    asked = question(WhatIf(), model="resnet-50").without_fit
    unknown = Answers(answer(asked.detail), answer(asked.rest), asked, "resnet-50")
    assert "say how many MiB" in memory_fit.chart(unknown, 16).empty
    given = answered(WhatIf(activations_mib=100.0), model="resnet-50")
    assert memory_fit.chart(given, 16).table.rows[0][2] == 100 * 2**20


def test_before_the_first_step_nothing_was_measured() -> None:
    own = job_ledger(job().spec, None, {})
    chart = memory_job.comparison(own, "job")
    assert chart.title == "Measured after the first step"
    assert all(row[2] is None and row[3] is None for row in chart.table.rows)
    assert memory_job.findings(own) == ()


def test_a_difference_is_told_to_the_byte() -> None:
    own = job_ledger(job().spec, None, {})
    state = own.predicted.total.state_bytes
    measured = {"measured": {"state_bytes": state + 4096}, "difference_bytes": 4096}
    apart = own.model_validate(own.model_dump() | measured)
    chart = memory_job.comparison(apart, "job")
    assert chart.title == "Predicted and measured: +4,096 B apart"
    assert ("optimizer state", state, state + 4096, "+4,096 B") in chart.table.rows
    equal = own.model_validate(own.model_dump() | {"measured": {"state_bytes": state}, "difference_bytes": 0})
    assert memory_job.verdict(equal).endswith("0 B apart ✓")


def test_an_advised_job_has_the_covers_that_it_was_advised() -> None:
    of = job(optimizer={"name": "sm3", "cover": {"kind": "advise", "budget_bytes": 10_000}})
    advice = AdvisedTensor(name="token_embedding.weight", cover={"kind": "whole"}, num_bytes=4, expected={})
    asked = question(WhatIf(cover=SAME, momentum=SAME), job=of, advised=[advice])
    drawn = answer(asked.detail).ledgers[0].tensors
    covers = {tensor.name: tensor.cover for tensor in drawn}
    assert (covers["token_embedding.weight"], covers["head.weight"]) == ("whole", "slices")
    assert asked.base is None


@pytest.mark.parametrize("words", [*COMMON, "blocks 8×2", "rows + blocks 16"])
def test_a_covers_name_is_read_back_as_the_same_cover(words: str) -> None:
    assert cover_name(cover_of(words)) == words
    assert cover_of(cover_name(cover_of(words))) == cover_of(words)
