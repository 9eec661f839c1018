"""The images recipe: what a batch is, what the networks compute, and that SM3 trains them."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from server.worker.data.mnist import MNIST_5K
from server.worker.recipes import images
from server.worker.recipes.base import Task, build
from server.worker.recipes.images import even_batch_size
from server.worker.recipes.model_images import CNN, MLP, OUTPUT_STD, create_classifier
from sm3 import SM3
from sm3.remote.recipe_specs import ImageModel, ImageSetName, ImagesSpec
from sm3.schedules import WarmupCooldown
from tests.worker.drawn_images import PARTS, DrawnImages

CPU = torch.device("cpu")


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setattr(
        images, "IMAGE_SETS", {ImageSetName.MNIST_5K: replace(MNIST_5K, sources=(DrawnImages(),))}
    )

    def make_task(seed: int = 0, **options: object) -> Task:
        spec = ImagesSpec.model_validate({"name": "images", **options})
        return build(spec, seed=seed, device=CPU, cache_dir=tmp_path, report=lambda line: None)

    return make_task


def held_out_loss(task: Task) -> float:
    with torch.no_grad():
        return float(torch.stack([task.loss(task.model, batch) for batch in task.validation()]).mean())


def test_a_batch_holds_images_from_0_to_1_with_their_classes(make):
    batch = make(batch_size=32).train_batch(3)
    assert (batch["images"].shape, batch["images"].dtype) == ((32, 28, 28), torch.float32)
    assert (batch["labels"].shape, batch["labels"].dtype) == ((32,), torch.int64)
    assert 0 <= batch["images"].min() < batch["images"].max() <= 1
    for image, label in zip(batch["images"], batch["labels"], strict=True):
        assert image[4:24:2].mean(1).argmax() == label


def test_an_epoch_shows_each_training_image_once(make):
    task = make(batch_size=100)
    seen = torch.cat([task.train_batch(step)["images"] for step in range(4)]).mul(255).round().byte()
    assert sorted(image.tobytes() for image in seen.numpy()) == sorted(
        image.tobytes() for image in PARTS.train.pixels
    )


def test_a_step_has_its_batch_in_any_order_of_asking(make):
    task, again = make(batch_size=8), make(batch_size=8)
    late = task.train_batch(77)
    again.train_batch(0)
    torch.testing.assert_close(dict(late), dict(again.train_batch(77)), rtol=0, atol=0)


def test_a_batch_may_be_larger_than_the_training_set(make):
    assert make(batch_size=1024).train_batch(0)["labels"].shape == (1024,)


def test_tokens_per_batch_counts_images(make):
    assert make(batch_size=24).tokens_per_batch == 24


def test_validation_shows_every_held_out_image_once_in_batches_of_one_size(make, monkeypatch):
    monkeypatch.setattr(images, "MAX_VALIDATION_BATCH", 40)
    batches = list(make().validation())
    assert [len(batch["labels"]) for batch in batches] == [30, 30, 30]
    assert torch.cat([batch["labels"] for batch in batches]).tolist() == PARTS.held_out.labels.tolist()


@pytest.mark.parametrize(
    ("total", "at_most", "size"), [(1000, 500, 500), (10_000, 300, 250), (7, 500, 7), (7, 5, 1), (1, 9, 1)]
)
def test_an_even_batch_is_the_largest_that_leaves_nothing_over(total, at_most, size):
    assert even_batch_size(total, at_most=at_most) == size


@pytest.mark.parametrize("model", ImageModel)
def test_sm3_brings_the_held_out_loss_far_below_chance(make, model):
    task = make(model=model, batch_size=32)
    before = held_out_loss(task)
    assert before == pytest.approx(math.log(10), abs=0.1)  # the output layer starts near 0
    optimizer = SM3(task.model.named_parameters(), lr=0.03, momentum=0.9)
    schedule = WarmupCooldown(optimizer, total_steps=60, warmup=0.5)
    for step in range(60):
        optimizer.zero_grad()
        task.loss(task.model, task.train_batch(step)).backward()
        optimizer.step()
        schedule.step()
    assert held_out_loss(task) < before - 1


def test_the_mlp_is_its_formula():
    model = create_classifier(ImageModel.MLP, seed=0, device=CPU)
    assert isinstance(model, MLP)
    x = torch.rand(3, 28, 28, generator=torch.Generator().manual_seed(0))
    w = dict(model.named_parameters())
    h = (x.reshape(3, 784) @ w["hidden1.weight"].T + w["hidden1.bias"]).clamp(min=0)
    h = (h @ w["hidden2.weight"].T + w["hidden2.bias"]).clamp(min=0)
    torch.testing.assert_close(model(x), h @ w["out.weight"].T + w["out.bias"])


def test_the_cnn_is_its_formula():
    model = create_classifier(ImageModel.CNN, seed=0, device=CPU)
    assert isinstance(model, CNN)
    x = torch.rand(3, 28, 28, generator=torch.Generator().manual_seed(0))
    w = dict(model.named_parameters())
    h = x[:, None]
    for conv in ("conv1", "conv2"):
        batch, _, side, _ = h.shape
        patches = functional.unfold(h, 3, padding=1)  # (B, channels·9, side²)
        h = torch.einsum("oc,bcp->bop", w[f"{conv}.weight"].flatten(1), patches)
        h = (h + w[f"{conv}.bias"][:, None]).clamp(min=0).reshape(batch, -1, side // 2, 2, side // 2, 2)
        h = h.amax((3, 5))
    h = (h.flatten(1) @ w["hidden.weight"].T + w["hidden.bias"]).clamp(min=0)
    torch.testing.assert_close(model(x), h @ w["out.weight"].T + w["out.bias"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", ImageModel)
def test_weights_start_after_he_with_a_small_output_layer_and_biases_at_zero(model):
    for name, parameter in create_classifier(model, seed=0, device=CPU).named_parameters():
        if parameter.ndim == 1:
            assert torch.equal(parameter, torch.zeros_like(parameter)), name
        else:
            std = OUTPUT_STD if name == "out.weight" else math.sqrt(2 / parameter[0].numel())
            # conv1 has 288 draws: σ of this is 4 %
            assert abs(parameter.std().item() / std - 1) < 0.15, name


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = create_classifier(ImageModel.CNN, seed=5, device=CPU).state_dict()
    torch.manual_seed(2)
    second = create_classifier(ImageModel.CNN, seed=5, device=CPU).state_dict()
    other = create_classifier(ImageModel.CNN, seed=6, device=CPU).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("weight"))
