"""CIFAR-10's binary files, and what is trained and tested on where some are missing."""

import hashlib
import logging

import numpy as np
import pytest

from pipeline.data import cifar10, load_dataset, prepare
from pipeline.data._registry import Source, load_registry
from pipeline.study import Dataset

LOG = logging.getLogger("test")
NAMES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Six files of four records each in a mirror, with a registry that has their sums: (mirror, images, labels)."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(6, 4, 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(10, size=(6, 4), dtype=np.uint8)
    mirror = tmp_path / "mirror"
    (mirror / "cifar10").mkdir(parents=True)
    registered = {}
    for name, pictures, classes in zip(NAMES, images, labels, strict=True):
        content = b"".join(bytes([label]) + one.tobytes() for one, label in zip(pictures, classes, strict=True))
        (mirror / "cifar10" / name).write_bytes(content)
        registered[name] = {"bytes": len(content), "md5": hashlib.md5(content).hexdigest()}
    source = load_registry()["cifar10"].model_dump() | {"files": registered, "downloads": []}
    monkeypatch.setattr(cifar10, "load_registry", lambda: {"cifar10": Source.model_validate(source)})
    return mirror, images, labels


def load(folder):
    chosen = Dataset.model_construct(name="cifar10", arrangement="corrected", train_images=None, test_images=None)
    return load_dataset(chosen, 1, folder)


def test_all_six_files_are_the_official_split(tmp_path, files):
    mirror, images, labels = files
    prepare("cifar10", tmp_path / "raw", tmp_path, mirror, LOG)
    splits = load(tmp_path)
    assert (splits.data_source, splits.origin) == ("CIFAR-10, official files", "real")
    np.testing.assert_array_equal(splits.train_labels, labels[:5].ravel())
    np.testing.assert_array_equal(splits.test_labels, labels[5])
    np.testing.assert_allclose(splits.test_images[2, :, 30, 7], images[5, 2, :, 30, 7] / 255, rtol=1e-6)


def test_without_the_test_file_the_fifth_is_tested_on_and_it_is_said(tmp_path, files):
    mirror, _, labels = files
    for missing in ("data_batch_3.bin", "data_batch_4.bin", "test_batch.bin"):
        (mirror / "cifar10" / missing).unlink()
    prepare("cifar10", tmp_path / "raw", tmp_path, mirror, LOG)
    splits = load(tmp_path)
    assert "trained on data_batch_1.bin, data_batch_2.bin, tested on data_batch_5.bin" in splits.data_source
    assert splits.origin == "incomplete"
    np.testing.assert_array_equal(splits.train_labels, labels[:2].ravel())
    np.testing.assert_array_equal(splits.test_labels, labels[4])


def test_one_file_alone_is_too_little_and_simulated_images_are_called_so(tmp_path, files, monkeypatch, caplog):
    monkeypatch.setattr(cifar10.simulated_objects, "TRAIN_IMAGES", 30)
    monkeypatch.setattr(cifar10.simulated_objects, "TEST_IMAGES", 20)
    mirror, _, _ = files
    for missing in NAMES[:5]:
        (mirror / "cifar10" / missing).unlink()
    prepare("cifar10", tmp_path / "raw", tmp_path, mirror, LOG)
    splits = load(tmp_path)
    assert splits.origin == "simulated"
    assert "simulated" in splits.data_source
    assert "data_batch_1.bin" in caplog.text
    assert "SIMULATED" in caplog.text
    assert splits.train_images.shape == (30, 3, 32, 32)


def test_simulated_images_resemble_their_class_more_than_another():
    arrays = cifar10.simulated_objects.simulate()
    images = arrays["train_images"].reshape(len(arrays["train_labels"]), -1).astype(float)
    means = np.stack([images[arrays["train_labels"] == label].mean(axis=0) for label in range(10)])
    tests = arrays["test_images"].reshape(len(arrays["test_labels"]), -1)
    nearest = ((tests[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    # A nearest mean, which has not to be moved or mirrored, finds some but far from all.
    assert 0.15 < (nearest == arrays["test_labels"]).mean() < 0.75
