"""MNIST's idx files as arrays, and as a model takes them."""

import gzip
import hashlib
import logging
import struct

import numpy as np
import pytest

from pipeline.data import DataError, _datasets, load_dataset, mnist, prepare
from pipeline.data._registry import Source, load_registry
from pipeline.study import Dataset

LOG = logging.getLogger("test")


def idx(array):
    """An array of unsigned bytes as an idx file (the format of MNIST's page)."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Thirty training and ten test images in data/raw, with a registry that has their sums."""
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.integers(256, size=(30, 28, 28), dtype=np.uint8),
        "train_labels": rng.integers(10, size=30, dtype=np.uint8),
        "test_images": rng.integers(256, size=(10, 28, 28), dtype=np.uint8),
        "test_labels": rng.integers(10, size=10, dtype=np.uint8),
    }
    folder = tmp_path / "raw/MNIST/raw"
    folder.mkdir(parents=True)
    files = {}
    for name, file in mnist.FILES.items():
        content = idx(arrays[name])
        files[file] = {"bytes": len(content), "md5": hashlib.md5(content).hexdigest()}
        (folder / f"{file}.gz").write_bytes(gzip.compress(content))
    registered = load_registry()["mnist"].model_dump() | {"files": files, "downloads": []}
    monkeypatch.setattr(mnist, "load_registry", lambda: {"mnist": Source.model_validate(registered)})
    return tmp_path, arrays


def test_images_and_labels_survive_preparation(small):
    folder, arrays = small
    prepare("mnist", folder / "raw", folder / "processed", None, LOG)
    splits = load_dataset(Dataset(name="mnist", arrangement="normalised"), 1, folder / "processed")
    assert splits.train_images.shape == (30, 1, 28, 28)
    assert splits.train_images.dtype == np.float32
    assert splits.train_labels.dtype == np.int64
    for part in ("train", "test"):
        back = (getattr(splits, f"{part}_images")[:, 0] * 0.3081 + 0.1307) * 255
        np.testing.assert_allclose(back, arrays[f"{part}_images"], atol=1e-3)
        np.testing.assert_array_equal(getattr(splits, f"{part}_labels"), arrays[f"{part}_labels"])
    assert (splits.data_source, splits.origin, len(splits.classes)) == ("MNIST, official files", "real", 10)


def test_as_read_images_are_from_black_to_white(small):
    folder, arrays = small
    prepare("mnist", folder / "raw", folder / "processed", None, LOG)
    splits = load_dataset(Dataset(name="mnist", arrangement="as_read"), 1, folder / "processed")
    np.testing.assert_allclose(splits.test_images[:, 0] * 255, arrays["test_images"], atol=1e-4)
    with pytest.raises(
        DataError, match="mnist has no arrangement 'corrected': choose one of normalised, as_read, deskewed"
    ):
        load_dataset(Dataset(name="mnist"), 1, folder / "processed")


def test_limits_take_the_first_images(small):
    folder, _ = small
    prepare("mnist", folder / "raw", folder / "processed", None, LOG)
    whole = load_dataset(Dataset(name="mnist", arrangement="normalised"), 1, folder / "processed")
    seven = Dataset(name="mnist", arrangement="normalised", train_images=7, test_images=3)
    few = load_dataset(seven, 2, folder / "processed")
    np.testing.assert_array_equal(few.train_images, whole.train_images[:7])
    np.testing.assert_array_equal(few.test_labels, whole.test_labels[:3])
    with pytest.raises(DataError, match="train_images asks for 31 images, but there are only 30"):
        load_dataset(Dataset(name="mnist", arrangement="normalised", train_images=31), 1, folder / "processed")


def test_preparing_twice_gives_the_same_bytes(small):
    folder, _ = small
    for processed in ("first", "second"):
        prepare("mnist", folder / "raw", folder / processed, None, LOG)
    for name in ("mnist.npz", "mnist.json"):
        assert (folder / "first" / name).read_bytes() == (folder / "second" / name).read_bytes()


def test_unknown_names_are_refused_with_the_known_ones(tmp_path):
    with pytest.raises(DataError, match=r"no data set 'mnits': choose one of .*mnist"):
        prepare("mnits", tmp_path, tmp_path, None, LOG)
    assert "mnist" in _datasets.DATASETS
    with pytest.raises(DataError, match="shapes has no arrangement 'twofold': choose one of single, compound"):
        load_dataset(Dataset(name="shapes", arrangement="twofold"), 1, tmp_path)


def test_a_slanted_bar_is_set_upright_and_an_upright_one_and_a_blank_stay():
    pixels = np.zeros((3, 28, 28), dtype=np.float32)
    for row in range(6, 22):
        pixels[0, row, 20 - row // 2] = 1
        pixels[1, row, 12:15] = 1
    slanted, straight, blank = mnist.upright(pixels)
    x, y = np.meshgrid(np.arange(28), np.arange(28))
    assert np.cov(x.ravel(), y.ravel(), aweights=slanted.ravel())[0, 1] == pytest.approx(0, abs=0.05)
    assert np.cov(x.ravel(), y.ravel(), aweights=pixels[0].ravel())[0, 1] < -10
    np.testing.assert_allclose(slanted.sum(1), pixels[0].sum(1), atol=1e-5)
    np.testing.assert_array_equal(straight, pixels[1])
    assert not blank.any()


def test_deskewed_images_are_those_read_but_for_their_slant():
    images = np.zeros((2, 28, 28), dtype=np.uint8)
    images[:, 5:20, 10:13] = 255
    np.testing.assert_allclose(mnist.deskewed(images), mnist.as_read(images), atol=1e-5)
