"""Every image of a batch is changed by draws of its own, which seed, epoch and batch decide."""

import pytest
import torch

from pipeline.study import ConfigurationError, Transform
from pipeline.train.augmentation import Augmentation

CROP = Transform(name="RandomCrop", arguments={"size": 8, "padding": 4, "fill": -1.0})


def test_crops_are_windows_of_the_padded_image_and_differ_within_a_batch():
    images = torch.arange(64.0).view(1, 1, 8, 8).repeat(20, 1, 1, 1)
    cropped = Augmentation([CROP], seed=1)(images, epoch=1, batch=0)
    padded = torch.nn.functional.pad(images[0, 0], (4, 4, 4, 4), value=-1.0)
    windows = {tuple(padded[i : i + 8, j : j + 8].flatten().tolist()) for i in range(9) for j in range(9)}
    found = {tuple(image.flatten().tolist()) for image in cropped}
    assert found <= windows
    assert len(found) > 10


def test_draws_belong_to_seed_epoch_and_batch_and_leave_torch_s_own_alone():
    images = torch.rand(5, 1, 8, 8)
    before = torch.get_rng_state()
    first = Augmentation([CROP], seed=1)(images, epoch=1, batch=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, Augmentation([CROP], seed=1)(images, epoch=1, batch=0))
    for seed, epoch, batch in [(2, 1, 0), (1, 2, 0), (1, 1, 1)]:
        assert not torch.equal(first, Augmentation([CROP], seed)(images, epoch, batch))


def test_transforms_follow_one_another():
    twice = [Transform(name="RandomHorizontalFlip", arguments={"p": 1.0})] * 2
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(Augmentation(twice[:1], seed=1)(images, 1, 0), images.flip(-1))
    assert torch.equal(Augmentation(twice, seed=1)(images, 1, 0), images)


def test_unknown_transform_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match="no transform 'RandomCropp'; did you mean 'RandomCrop'"):
        Augmentation([Transform(name="RandomCropp")], seed=1)


def test_arguments_that_a_transform_does_not_take_are_refused():
    with pytest.raises(ConfigurationError, match="RandomCrop does not take"):
        Augmentation([Transform(name="RandomCrop", arguments={"width": 8})], seed=1)


def test_a_crop_larger_than_the_padded_image_is_refused():
    crop = Transform(name="RandomCrop", arguments={"size": 20, "padding": 1})
    with pytest.raises(ConfigurationError, match="have 10; take a smaller size"):
        Augmentation([crop], seed=1)(torch.rand(2, 1, 8, 8), 1, 0)


def test_whole_batches_are_cropped_to_every_window_alike_and_none_is_favoured():
    images = torch.arange(4.0).view(1, 1, 2, 2).repeat(9000, 1, 1, 1) + 1
    crop = Transform(name="RandomCrop", arguments={"size": 2, "padding": 1})
    cropped = Augmentation([crop], seed=1)(images, epoch=1, batch=0)
    assert cropped.shape == images.shape
    padded = torch.nn.functional.pad(images[0, 0], (1, 1, 1, 1))
    windows = [padded[i : i + 2, j : j + 2] for i in range(3) for j in range(3)]
    counts = [int((cropped[:, 0] == window).all(dim=(1, 2)).sum()) for window in windows]
    assert sum(counts) == 9000
    # A ninth each: five standard deviations of a binomial count.
    assert all(abs(count - 1000) < 5 * (9000 * 1 / 9 * 8 / 9) ** 0.5 for count in counts)


def test_each_image_of_a_batch_is_mirrored_or_not_by_itself():
    images = torch.rand(4000, 1, 1, 2)
    flip = Transform(name="RandomHorizontalFlip", arguments={"p": 0.25})
    found = Augmentation([flip], seed=1)(images, epoch=1, batch=0)
    mirrored = (found == images.flip(-1)).all(dim=(1, 2, 3))
    assert torch.equal(found[~mirrored], images[~mirrored])
    assert abs(int(mirrored.sum()) - 1000) < 5 * (4000 * 0.25 * 0.75) ** 0.5
