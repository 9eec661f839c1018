"""Fashion-MNIST: 70,000 pictures of clothes, read from the files of Debian's package where it is installed.

The files are in the idx format of the first MNIST: two zero bytes, a byte for the type of the numbers (8 is
uint8), a byte for how many dims there are, each dim's length as a big-endian uint32, then the numbers.
"""

import gzip
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.worker.data.base import Report, SourceError
from server.worker.data.images import ImageParts, Images, ImageSet
from sm3.remote.recipe_specs import ImageSetName

_UINT8 = 8


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read a gzipped idx file of bytes.

    Args:
        path: the file.

    Returns:
        The array, uint8, of the shape that the file says.

    Raises:
        SourceError: the file is missing, not such a file, or ends too early or too late.
    """
    try:
        with gzip.open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise SourceError(f"{path.name} is missing") from None
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path.name} cannot be unpacked: {error}") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, _UINT8]):
        raise SourceError(f"{path.name} is no idx file of uint8: it starts with {content[:4]!r}")
    num_dims = content[3]
    start = 4 + 4 * num_dims
    if len(content) < start:
        raise SourceError(f"{path.name} ends within its header")
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    if len(content) - start != prod(shape):
        raise SourceError(f"{path.name} holds {len(content) - start} numbers, not those of shape {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


@dataclass(frozen=True, kw_only=True)
class IdxFolder:
    """The four idx files of an MNIST-like set, as a Debian package installs them.

    Attributes:
        folder: where they lie.
        package: the package that brings them.
    """

    folder: Path
    package: str

    @property
    def described(self) -> str:
        """Name the source in a few words."""
        return f"the files of the Debian package {self.package} in {self.folder}"

    def read(self, *, report: Report) -> ImageParts:
        """Read all four; the set's own test split is the held-out part."""
        if not self.folder.is_dir():
            raise SourceError(f"there is no such folder; install the Debian package {self.package}")
        report(f"reading {self.described} …")
        return ImageParts(train=self._part("train"), held_out=self._part("t10k"))

    def _part(self, prefix: str) -> Images:
        pixels = read_idx(self.folder / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(self.folder / f"{prefix}-labels-idx1-ubyte.gz")
        try:
            return Images(pixels, labels)
        except ValueError as error:
            raise SourceError(f"the {prefix} files do not hold images and their labels: {error}") from error


FASHION_MNIST = ImageSet(
    name=ImageSetName.FASHION_MNIST,
    title="Fashion-MNIST",
    licence="MIT",
    provenance=(
        "70,000 pictures of clothes by Zalando Research; its own test split of 10,000 is held out. Needs the "
        "Debian package dataset-fashion-mnist."
    ),
    sources=(IdxFolder(folder=Path("/usr/share/datasets/fashion-mnist"), package="dataset-fashion-mnist"),),
)
