"""An image set kept on disk after its first read, as one `.npz` file of its arrays."""

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from server.worker.data.atomic import put_in_place
from server.worker.data.base import SourceError
from server.worker.data.images import ImageParts, Images, ImageSet, LoadedImages, digest_images

FORMAT = 1
"""Goes up when the arrays, the held-out rule or a source's version change, so that old files go unused."""


def write_kept_images(loaded: LoadedImages, path: Path) -> None:
    """Keep an image set; whoever reads meanwhile sees all of it or none. The caller holds the path's lock."""
    made = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    train, held_out = loaded.parts.train, loaded.parts.held_out
    with made.open("wb") as file:
        np.savez_compressed(
            file,
            source=np.array(loaded.source),
            sha256=np.array(loaded.sha256),
            train_pixels=train.pixels,
            train_labels=train.labels,
            held_out_pixels=held_out.pixels,
            held_out_labels=held_out.labels,
        )
    put_in_place(made, path)


def read_kept_images(image_set: ImageSet, path: Path) -> LoadedImages:
    """Return an image set kept earlier; no pickled object in the file is ever loaded.

    Raises:
        SourceError: it was never kept, or the file is not what was written.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            parts = ImageParts(
                train=Images(kept["train_pixels"], kept["train_labels"]),
                held_out=Images(kept["held_out_pixels"], kept["held_out_labels"]),
            )
            loaded = LoadedImages(image_set, parts, str(kept["source"]), str(kept["sha256"]))
    except FileNotFoundError:
        raise SourceError("nothing kept yet") from None
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise SourceError(f"{path.name} is unreadable ({error})") from error
    if digest_images(parts) != loaded.sha256:
        raise SourceError(f"{path.name} is damaged: its images are not those that were kept")
    return loaded
