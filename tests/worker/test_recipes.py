"""Every recipe keeps the contract of `base.Task`; the language model's own facts follow."""

import math
import sysconfig
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import get_args

import pytest
import torch

from server.worker.data.mnist import MNIST_5K
from server.worker.data.stdlib import STDLIB, PythonFiles
from server.worker.recipes import images, language_model
from server.worker.recipes.base import Task, build
from server.worker.recipes.model_gpt import INIT_STD, GPTConfig, create_gpt
from server.worker.recipes.registry import RECIPES
from sm3.remote.recipe_specs import (
    NUM_CLASSES,
    CorpusName,
    ImageSetName,
    ImagesSpec,
    LanguageModelSpec,
    RecipeSpec,
    num_parameters,
)
from tests.worker.drawn_images import DrawnImages

CPU = torch.device("cpu")
SMALLEST = {
    "language-model": LanguageModelSpec(name="language-model", context=16, batch_size=4),
    "images": ImagesSpec(name="images", batch_size=16),
}
NUM_CHOICES = {"language-model": SMALLEST["language-model"].shape.vocab, "images": NUM_CLASSES}
TINY = GPTConfig(layers=2, width=32, heads=4, context=12, vocab=50, tied=False)


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    """An empty cache, and little data: one package of the standard library, images drawn here."""
    package = replace(STDLIB, sources=(PythonFiles(Path(sysconfig.get_path("stdlib"), "asyncio")),))
    drawn = replace(MNIST_5K, sources=(DrawnImages(),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language_model, "CORPORA", {CorpusName.STDLIB: package})
        patch.setattr(images, "IMAGE_SETS", {ImageSetName.MNIST_5K: drawn})
        yield tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """These models are too small to share out; a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=RECIPES)
def spec(request):
    return SMALLEST[request.param]


@pytest.fixture(scope="module")
def make(spec, cache_dir):
    def make_task(seed: int = 0) -> Task:
        return build(spec, seed=seed, device=CPU, cache_dir=cache_dir, report=lambda line: None)

    return make_task


@pytest.fixture(scope="module")
def task(make):
    return make()


def equal(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_every_spec_has_a_recipe_under_its_name():
    union, _ = get_args(RecipeSpec)
    names = [name for spec in get_args(union) for name in get_args(spec.model_fields["name"].annotation)]
    assert list(RECIPES) == names == list(SMALLEST)


def test_one_seed_gives_the_same_weights_and_data_whatever_torchs_global_generator_says(make):
    torch.manual_seed(1)
    first = make(7)
    torch.manual_seed(2)
    second = make(7)
    assert equal(first.model.state_dict(), second.model.state_dict())
    assert equal(first.train_batch(123), second.train_batch(123))


def test_building_leaves_torchs_global_generator_alone(make):
    before = torch.get_rng_state()
    make().train_batch(0)
    assert torch.equal(before, torch.get_rng_state())


def test_another_seed_gives_other_weights_and_other_data(make):
    first, second = make(0), make(1)
    assert not equal(first.model.state_dict(), second.model.state_dict())
    assert not equal(first.train_batch(0), second.train_batch(0))


def test_validation_is_the_same_every_time_and_for_every_seed(make):
    first, second = make(0), make(1)
    batches = [list(first.validation()), list(first.validation()), list(second.validation())]
    assert len(batches[0]) >= 1
    for others in batches[1:]:
        assert all(equal(*pair) for pair in zip(batches[0], others, strict=True))


def test_an_untrained_model_guesses_at_random(task, spec):
    loss = task.loss(task.model, task.train_batch(0))
    assert loss.shape == ()
    assert abs(loss.item() - math.log(NUM_CHOICES[spec.name])) < 0.3  # nats; initial logits are near 0


def test_the_model_has_as_many_parameters_as_the_spec_predicts(task, spec):
    assert sum(parameter.numel() for parameter in task.model.parameters()) == num_parameters(spec)


def test_every_parameter_has_a_gradient(task):
    task.loss(task.model, task.train_batch(0)).backward()
    assert all(parameter.grad is not None for parameter in task.model.parameters())


def test_a_few_steps_lower_the_held_out_loss(make):
    task = make()
    batches = list(islice(task.validation(), 8))

    def held_out() -> float:
        with torch.no_grad():
            return sum(task.loss(task.model, batch).item() for batch in batches) / len(batches)

    before = held_out()
    optimizer = torch.optim.Adam(task.model.parameters(), lr=3e-3)
    for step in range(30):
        optimizer.zero_grad()
        task.loss(task.model, task.train_batch(step)).backward()
        optimizer.step()
    assert held_out() < before - 0.5


def test_provenance_says_title_licence_source_and_digest(task):
    assert {"licence", "provenance", "source", "sha256"} <= task.provenance.keys()
    assert {"corpus", "dataset"} & task.provenance.keys()
    assert all(task.provenance.values())


def test_targets_are_the_inputs_one_token_on(cache_dir):
    task = build(
        SMALLEST["language-model"], seed=0, device=CPU, cache_dir=cache_dir, report=lambda line: None
    )
    batch = task.train_batch(5)
    assert batch["inputs"].shape == batch["targets"].shape == (4, 16)
    assert task.tokens_per_batch == batch["targets"].numel()
    assert torch.equal(batch["inputs"][:, 1:], batch["targets"][:, :-1])


def test_a_batch_bigger_than_the_held_out_text_still_validates(cache_dir):
    spec = LanguageModelSpec(name="language-model", context=1024, batch_size=512)
    task = build(spec, seed=0, device=CPU, cache_dir=cache_dir, report=lambda line: None)
    (batch,) = task.validation()
    assert batch["inputs"].shape[1] == 1024
    assert 1 < batch["inputs"].shape[0] < 512


def test_no_position_sees_a_later_one():
    model = create_gpt(TINY, seed=0, device=CPU)
    tokens = torch.arange(12).remainder(50).unsqueeze(0)
    changed = tokens.clone()
    changed[0, 8:] = 3
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[0, :8], after[0, :8])
    assert not torch.allclose(before[0, 8:], after[0, 8:])


def test_attention_equals_its_textbook_form():
    model = create_gpt(TINY, seed=0, device=CPU)
    attention = model.blocks[0].attention
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    q, k, v = (part.view(2, 5, 4, 8) for part in attention.qkv(x).chunk(3, dim=-1))
    scores = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(8)
    scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -math.inf)
    mixed = torch.einsum("bhts,bshd->bthd", scores.softmax(-1), v).reshape(2, 5, 32)
    torch.testing.assert_close(attention(x), attention.out(mixed))


def test_tying_shares_one_table_for_input_and_output():
    tied = GPTConfig(layers=1, width=8, heads=2, context=4, vocab=11, tied=True)
    model = create_gpt(tied, seed=0, device=CPU)
    assert "head.weight" not in dict(model.named_parameters())
    with torch.no_grad():
        model.token_embedding.weight[7] = 0
    assert torch.equal(model(torch.tensor([[1, 2]]))[..., 7], torch.zeros(1, 2))


def test_weights_start_small_biases_at_zero_and_norms_at_one():
    config = GPTConfig(layers=1, width=128, heads=4, context=64, vocab=500, tied=False)
    for name, parameter in create_gpt(config, seed=0, device=CPU).named_parameters():
        if parameter.ndim > 1:
            assert abs(parameter.std().item() / INIT_STD - 1) < 0.05, (
                name
            )  # ≥ 8,192 draws: σ of this is 0.8 %
        else:
            assert torch.equal(parameter, torch.full_like(parameter, float(name.endswith(".weight")))), name


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="multiple of heads, got 32 and 5"):
        create_gpt(GPTConfig(layers=1, width=32, heads=5, context=4, vocab=9, tied=False), seed=0, device=CPU)
