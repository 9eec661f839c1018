"""Two small classifiers of images: an MLP and a convolutional network.

Shapes in the comments: B images, 28x28 pixels each, 10 classes.
"""

from math import prod

import torch
from torch import nn
from torch.nn import functional

from sm3.remote.recipe_specs import IMAGE_SIDE, NUM_CLASSES, ImageModel

OUTPUT_STD = 0.01
"""Standard deviation of the output layer's initial weights: small, so that a new model has no opinion."""


class MLP(nn.Module):
    """Linear layers 784-256-128-10 with ReLU between."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(IMAGE_SIDE**2, 256)
        self.hidden2 = nn.Linear(256, 128)
        self.out = nn.Linear(128, NUM_CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Score every class; (B, 28, 28) to logits (B, 10)."""
        x = functional.relu(self.hidden1(images.flatten(1)))
        logits: torch.Tensor = self.out(functional.relu(self.hidden2(x)))
        return logits


class CNN(nn.Module):
    """Two 3x3 convolutions with 32 and 64 channels, each halved by pooling, and linear layers 128-10."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.hidden = nn.Linear(64 * (IMAGE_SIDE // 4) ** 2, 128)
        self.out = nn.Linear(128, NUM_CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Score every class; (B, 28, 28) to logits (B, 10)."""
        x = functional.max_pool2d(functional.relu(self.conv1(images.unsqueeze(1))), 2)  # (B, 32, 14, 14)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)  # (B, 64, 7, 7)
        logits: torch.Tensor = self.out(functional.relu(self.hidden(x.flatten(1))))
        return logits


MODELS: dict[ImageModel, type[nn.Module]] = {ImageModel.MLP: MLP, ImageModel.CNN: CNN}


def create_classifier(model: ImageModel, *, seed: int, device: torch.device) -> nn.Module:
    """Make a classifier whose weights depend on the seed alone: not on the device, nor on torch's global generator.

    Args:
        model: which one.
        seed: of the initial weights.
        device: where it ends up.

    Returns:
        The model, in float32; it takes images (B, 28, 28) from 0 to 1 and gives logits (B, 10).
    """
    with torch.device("meta"):  # so that torch's own initial weights are not drawn
        classifier = MODELS[model]()
    classifier.to_empty(device="cpu")  # drawn on the CPU, as each device's generator has numbers of its own
    _initialise(classifier, torch.Generator().manual_seed(seed))
    return classifier.to(device)


@torch.no_grad()
def _initialise(classifier: nn.Module, generator: torch.Generator) -> None:
    """Set every parameter in place: biases 0, weights normal, after He et al. 2015 where a ReLU follows."""
    for name, parameter in classifier.named_parameters():
        if parameter.ndim == 1:
            parameter.zero_()
        else:
            std = OUTPUT_STD if name == "out.weight" else (2 / prod(parameter.shape[1:])) ** 0.5
            parameter.normal_(0.0, std, generator=generator)
