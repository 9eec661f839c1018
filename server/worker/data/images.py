"""What an image set is: grey 28x28 pictures in ten classes, in two parts.

An **image set** is a declaration like a corpus: a name, a licence, where it comes from, an ordered list of
sources. Which images are **held out** is fixed by the set, never by the job.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.worker.data.base import Source
from server.worker.data.order import permute
from sm3.remote.recipe_specs import IMAGE_SIDE, NUM_CLASSES, ImageSetName


@dataclass(frozen=True, eq=False)
class Images:
    """Images with their classes.

    Attributes:
        pixels: (n, 28, 28) uint8, 0 is background; n is at least 1.
        labels: (n,) uint8, 0 … 9.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Refuse arrays that are no such images."""
        if self.pixels.dtype != np.uint8 or self.labels.dtype != np.uint8:
            raise ValueError(
                f"pixels and labels must be uint8, got {self.pixels.dtype} and {self.labels.dtype}"
            )
        if self.pixels.shape[1:] != (IMAGE_SIDE, IMAGE_SIDE) or len(self.pixels) == 0:
            raise ValueError(
                f"pixels must be (n, {IMAGE_SIDE}, {IMAGE_SIDE}) with n at least 1, got {self.pixels.shape}"
            )
        if self.labels.shape != self.pixels.shape[:1]:
            raise ValueError(f"{len(self.pixels)} images need as many labels, got {self.labels.shape}")
        if self.labels.max() >= NUM_CLASSES:
            raise ValueError(f"labels must be 0 … {NUM_CLASSES - 1}, got {self.labels.max()}")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class ImageParts:
    """The two parts of an image set; no image is in both."""

    train: Images
    held_out: Images


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """The declaration of an image set.

    Attributes:
        name: what a spec calls it.
        title: what people call it.
        licence: the terms it may be used under.
        provenance: where the images come from and which are held out, a sentence or two.
        sources: ways to it, the best first.
        kept: whether the images are kept in the cache after the first read; for what comes over a network.
    """

    name: ImageSetName
    title: str
    licence: str
    provenance: str
    sources: tuple[Source[ImageParts], ...]
    kept: bool = False


@dataclass(frozen=True)
class LoadedImages:
    """The images of a set as one machine has them.

    Attributes:
        image_set: the declaration.
        parts: training and held-out images.
        source: which source they came from, in words.
        sha256: `digest_images` of the parts.
    """

    image_set: ImageSet
    parts: ImageParts
    source: str
    sha256: str


def digest_images(parts: ImageParts) -> str:
    """Return the SHA-256 of pixels and labels of both parts, each after its length."""
    total = hashlib.sha256()
    for images in (parts.train, parts.held_out):
        for array in (images.pixels, images.labels):
            total.update(array.size.to_bytes(8, "big"))
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def hold_out(images: Images, *, per_class: int) -> ImageParts:
    """Hold out the same number of images of each class, chosen by their places in the set and nothing else.

    Args:
        images: all of them, in a fixed order.
        per_class: how many to hold out of each class; each must have more.

    Returns:
        Both parts, each in the order of `images`.

    Raises:
        ValueError: a class has too few images.
    """
    held_out = np.zeros(len(images), dtype=np.bool_)
    for label in range(NUM_CLASSES):
        members = np.flatnonzero(images.labels == label)
        if len(members) <= per_class:
            raise ValueError(f"class {label} has {len(members)} images, too few to hold out {per_class}")
        key = f"held out of class {label}".encode()
        held_out[members[[permute(i, size=len(members), key=key) for i in range(per_class)]]] = True
    return ImageParts(
        train=Images(images.pixels[~held_out], images.labels[~held_out]),
        held_out=Images(images.pixels[held_out], images.labels[held_out]),
    )
