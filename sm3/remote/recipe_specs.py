"""What a client may ask a recipe for, and what that costs in parameters, known without torch.

A **recipe** is a model and its data, registered by name; a **spec** is one recipe with its options filled in.
The worker turns a spec into a model and batches (`server.worker.recipes`); everyone else (service, command
line, dashboard) needs only what stands here. Shapes follow from the spec alone, so optimizer state can be
predicted before anything runs.

To add a recipe: a spec here, its name in `RecipeSpec`, one file and one registry line in
`server.worker.recipes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field


class CorpusName(StrEnum):
    """The texts a language model can be trained on, each declared in `server.worker.data`."""

    STDLIB = "stdlib"
    KJV = "kjv"


class ModelSize(StrEnum):
    """The sizes a language model comes in, smallest first; `SIZES` says what each one is."""

    TINY = "tiny"
    SMALL = "small"
    MEDIUM = "medium"
    BASE = "base"
    GPT2_SMALL = "gpt2-small"


class ImageSetName(StrEnum):
    """The pictures a classifier can be trained on, each declared in `server.worker.data`."""

    MNIST_5K = "mnist-5k"
    FASHION_MNIST = "fashion-mnist"


class ImageModel(StrEnum):
    """The classifiers of images, smallest first; `IMAGE_MODELS` says what each one is."""

    MLP = "mlp"
    CNN = "cnn"


IMAGE_SIDE = 28
"""Pixels along each side of an image."""

NUM_CLASSES = 10
"""Classes that an image can be of, in every image set."""


@dataclass(frozen=True, kw_only=True)
class SizeInfo:
    """One row of the size table.

    Attributes:
        layers: transformer blocks.
        width: length of the residual stream; the MLP inside a block is four times as wide.
        heads: attention heads, a divisor of `width`.
        context: tokens the model sees at once, unless the spec says otherwise.
        vocab: rows of the embedding, and the most pieces the tokenizer is trained to.
        batch: sequences in a step, unless the spec says otherwise.
        described: one line for people choosing, about hardware and time.
    """

    layers: int
    width: int
    heads: int
    context: int
    vocab: int
    batch: int
    described: str


SIZES: Mapping[ModelSize, SizeInfo] = MappingProxyType(
    {
        ModelSize.TINY: SizeInfo(
            layers=2, width=128, heads=4, context=64, vocab=2048, batch=8,
            described="under 1 M parameters: learns visibly in a minute on one CPU core",
        ),
        ModelSize.SMALL: SizeInfo(
            layers=4, width=256, heads=4, context=128, vocab=4096, batch=8,
            described="5 M parameters: a coffee break on a CPU",
        ),
        ModelSize.MEDIUM: SizeInfo(
            layers=6, width=384, heads=6, context=256, vocab=8192, batch=16,
            described="17 M parameters: hours on a CPU, minutes on a GPU",
        ),
        ModelSize.BASE: SizeInfo(
            layers=8, width=512, heads=8, context=512, vocab=16384, batch=16,
            described="42 M parameters: for a GPU",
        ),
        ModelSize.GPT2_SMALL: SizeInfo(
            layers=12, width=768, heads=12, context=1024, vocab=50257, batch=8,
            described="the shapes of GPT-2 small, 124 M parameters tied and 163 M untied: for a GPU",
        ),
    }
)  # fmt: skip


class LanguageModelSpec(BaseModel):
    """A small GPT trained to predict the next piece of a text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["language-model"]
    size: ModelSize = Field(default=ModelSize.TINY, description="a row of the size table")
    corpus: CorpusName = Field(default=CorpusName.STDLIB, description="the text to learn")
    tied: bool = Field(default=False, description="use the token embedding as the output layer too")
    batch_size: Annotated[int, Field(ge=1, le=512)] | None = Field(
        default=None, description="sequences in a step; null takes the size's own"
    )
    context: Annotated[int, Field(ge=8, le=1024)] | None = Field(
        default=None, description="tokens in a sequence; null takes the size's own"
    )

    @property
    def shape(self) -> SizeInfo:
        """The row of `SIZES` this spec names."""
        return SIZES[self.size]

    @property
    def effective_context(self) -> int:
        """Tokens in a sequence: the spec's own, or else the size's."""
        return self.shape.context if self.context is None else self.context

    @property
    def effective_batch_size(self) -> int:
        """Sequences in a step: the spec's own, or else the size's."""
        return self.shape.batch if self.batch_size is None else self.batch_size


IMAGE_MODELS: Mapping[ImageModel, str] = MappingProxyType({
    ImageModel.MLP: "784-256-128-10 with ReLU, 0.2 M parameters: 3,000 steps take seconds on one CPU core",
    ImageModel.CNN: "two 3x3 convolutions, two linear layers, 0.4 M parameters: two minutes on one CPU core",
})
"""One line on each classifier for people choosing, about its make and time."""


class ImagesSpec(BaseModel):
    """A small classifier of 28x28 grey images in ten classes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["images"]
    dataset: ImageSetName = Field(default=ImageSetName.MNIST_5K, description="the images to learn")
    model: ImageModel = Field(default=ImageModel.MLP, description="the classifier")
    batch_size: int = Field(default=64, ge=1, le=1024, description="images in a step")

    @property
    def size(self) -> ImageModel:
        """What lists of jobs show where a language model has its size: which classifier it is."""
        return self.model


RecipeSpec: TypeAlias = Annotated[LanguageModelSpec | ImagesSpec, Field(discriminator="name")]
RecipeName: TypeAlias = Literal["language-model", "images"]


def parameter_shapes(spec: RecipeSpec) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter of the model a spec asks for, in the model's own order and by its names.

    Args:
        spec: the recipe with its options.

    Returns:
        Parameter name to shape; a tied output layer does not appear a second time.

    >>> parameter_shapes(LanguageModelSpec(name="language-model"))["blocks.0.attention.qkv.weight"]
    (384, 128)
    >>> parameter_shapes(ImagesSpec(name="images", model="cnn"))["conv2.weight"]
    (64, 32, 3, 3)
    """
    match spec:
        case LanguageModelSpec():
            return _gpt_shapes(spec)
        case ImagesSpec():
            return dict(_IMAGE_SHAPES[spec.model])


def _gpt_shapes(spec: LanguageModelSpec) -> dict[str, tuple[int, ...]]:
    width, inner = spec.shape.width, 4 * spec.shape.width
    shapes: dict[str, tuple[int, ...]] = {
        "token_embedding.weight": (spec.shape.vocab, width),
        "position_embedding.weight": (spec.effective_context, width),
    }
    for layer in range(spec.shape.layers):
        shapes |= {
            f"blocks.{layer}.attention_norm.weight": (width,),
            f"blocks.{layer}.attention_norm.bias": (width,),
            f"blocks.{layer}.attention.qkv.weight": (3 * width, width),
            f"blocks.{layer}.attention.qkv.bias": (3 * width,),
            f"blocks.{layer}.attention.out.weight": (width, width),
            f"blocks.{layer}.attention.out.bias": (width,),
            f"blocks.{layer}.mlp_norm.weight": (width,),
            f"blocks.{layer}.mlp_norm.bias": (width,),
            f"blocks.{layer}.mlp.up.weight": (inner, width),
            f"blocks.{layer}.mlp.up.bias": (inner,),
            f"blocks.{layer}.mlp.down.weight": (width, inner),
            f"blocks.{layer}.mlp.down.bias": (width,),
        }
    shapes |= {"norm.weight": (width,), "norm.bias": (width,)}
    if not spec.tied:
        shapes["head.weight"] = (spec.shape.vocab, width)
    return shapes


_IMAGE_SHAPES: Mapping[ImageModel, Mapping[str, tuple[int, ...]]] = {
    ImageModel.MLP: {
        "hidden1.weight": (256, IMAGE_SIDE**2),
        "hidden1.bias": (256,),
        "hidden2.weight": (128, 256),
        "hidden2.bias": (128,),
        "out.weight": (NUM_CLASSES, 128),
        "out.bias": (NUM_CLASSES,),
    },
    ImageModel.CNN: {
        "conv1.weight": (32, 1, 3, 3),
        "conv1.bias": (32,),
        "conv2.weight": (64, 32, 3, 3),
        "conv2.bias": (64,),
        "hidden.weight": (128, 64 * (IMAGE_SIDE // 4) ** 2),  # each of the two poolings halves the sides
        "hidden.bias": (128,),
        "out.weight": (NUM_CLASSES, 128),
        "out.bias": (NUM_CLASSES,),
    },
}


def num_parameters(spec: RecipeSpec) -> int:
    """How many numbers the model a spec asks for learns.

    >>> num_parameters(LanguageModelSpec(name="language-model"))
    929280
    >>> num_parameters(ImagesSpec(name="images"))
    235146
    """
    return sum(prod(shape) for shape in parameter_shapes(spec).values())
