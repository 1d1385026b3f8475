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
