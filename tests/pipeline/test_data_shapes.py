"""The generated shapes: reproducible, of the classes they are called, and not to be told apart by a linear model."""

import logging

import numpy as np
import pytest
from scipy import ndimage
from sklearn.linear_model import RidgeClassifier

from pipeline.data import load_dataset, prepare, shapes
from pipeline.study import Dataset


@pytest.fixture(scope="module", params=["single", "compound"])
def generated(request):
    return request.param, *shapes.generate(request.param, 0, 600)


def test_a_smaller_set_is_a_prefix(generated):
    arrangement, images, labels = generated
    fewer, their_labels = shapes.generate(arrangement, 0, 25)
    np.testing.assert_array_equal(fewer, images[:25])
    np.testing.assert_array_equal(their_labels, labels[:25])


def test_training_test_and_other_seeds_differ(generated):
    arrangement, images, _ = generated
    for other in (shapes.generate(arrangement, 1, 20)[0], shapes.generate(arrangement, 0, 20, seed=2)[0]):
        assert not any((image == candidate).all() for image in other for candidate in images)


def test_every_class_has_its_share(generated):
    arrangement, _, labels = generated
    classes = len(shapes.ARRANGEMENTS[arrangement])
    shares = np.bincount(labels, minlength=classes) / len(labels)
    # Five standard deviations of a multinomial share.
    assert np.abs(shares - 1 / classes).max() < 5 * np.sqrt(1 / classes / len(labels))


def test_compound_labels_are_the_documents():
    single = {"circle": 1, "triangle": 2, "rectangle": 3}
    for label, shown in enumerate(shapes.ARRANGEMENTS["compound"]):
        assert label == sum(single[shape] for shape in shown) + (len(shown) == 2)


def lighter_than_ground(image):
    """The pixels of an image's objects: the ground is over 40% of every image."""
    return ndimage.gaussian_filter(image.astype(float), 0.7) > np.quantile(image, 0.2) + 50


def test_as_many_objects_are_to_be_seen_as_the_label_says(generated):
    arrangement, images, labels = generated
    for image, label in zip(images[:200], labels[:200], strict=True):
        _, objects = ndimage.label(lighter_than_ground(image))
        assert objects == len(shapes.ARRANGEMENTS[arrangement][label])


def test_a_disk_fills_its_circle_best():
    """The area over that of the circumscribed circle: near 1 for a disk, below 2/π for every inscribed rectangle."""
    images, labels = shapes.generate("single", 1, 200)
    filled = []
    for image in images:
        mask = lighter_than_ground(image)
        points = np.argwhere(mask)
        span = np.linalg.norm(points[:, None] - points, axis=-1).max()
        filled.append(4 * mask.sum() / np.pi / (span + 1) ** 2)
    filled = np.array(filled)
    assert filled[labels == 0].min() > filled[labels != 0].max()


def test_a_linear_model_does_not_solve_it(generated):
    arrangement, images, labels = generated
    test_images, test_labels = shapes.generate(arrangement, 1, 300)
    model = RidgeClassifier(alpha=30).fit(images.reshape(600, -1) / 255, labels)
    accuracy = model.score(test_images.reshape(300, -1) / 255, test_labels)
    assert 1 / len(shapes.ARRANGEMENTS[arrangement]) < accuracy < 0.8


def test_loading_gives_the_documents_sizes(tmp_path, monkeypatch):
    assert (shapes.TRAIN_IMAGES, shapes.TEST_IMAGES) == (2700, 6000)
    monkeypatch.setattr(shapes, "TRAIN_IMAGES", 12)
    monkeypatch.setattr(shapes, "TEST_IMAGES", 9)
    prepare("shapes", tmp_path, tmp_path, None, logging.getLogger("test"))
    splits = load_dataset(Dataset(name="shapes", arrangement="compound", test_images=5), 1, tmp_path)
    assert (splits.train_images.shape, splits.test_images.shape) == ((12, 1, 28, 28), (5, 1, 28, 28))
    assert -1 <= splits.train_images.min() < splits.train_images.max() <= 1
    assert splits.classes[4] == "circle + triangle"
    assert splits.data_source.startswith("generated shapes")
    assert splits.origin == "computed"
