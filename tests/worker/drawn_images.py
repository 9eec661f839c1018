"""An image set drawn on the spot, learnt within a few steps."""

import numpy as np

from server.worker.data.base import Report
from server.worker.data.images import ImageParts, Images


def draw(num: int, *, seed: int) -> Images:
    """Return noise in which a brighter row, one of ten, tells the class."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 10, num, dtype=np.uint8)
    pixels = generator.integers(0, 100, (num, 28, 28), dtype=np.uint8)
    pixels[np.arange(num), 2 * labels + 4] += 150
    return Images(pixels, labels)


PARTS = ImageParts(train=draw(400, seed=0), held_out=draw(90, seed=1))


class DrawnImages:
    """A source that gives `PARTS` and needs no network."""

    described = "images drawn by the test"

    def read(self, *, report: Report) -> ImageParts:
        return PARTS
