"""Animations: the frames that R draws, all of them, in order, or R's message."""

import pandas as pd
import pytest
from PIL import Image

from pipeline.report.animation import AnimationError, animate, assemble


@pytest.fixture
def curves(tmp_path):
    """The curves of a spiral's run with three iterations."""
    truth = pd.DataFrame({"series": "truth", "t": [0.0, 1.0, 2.0], "x": [1.0, 0.0, -1.0], "y": [0.0, 1.0, 0.0]})
    networks = [truth.assign(series="network", iteration=k, x=truth.x * k / 9) for k in (0, 3, 9)]
    pd.concat([truth, *networks]).to_csv(tmp_path / "curves.csv", index=False)
    return tmp_path / "curves.csv"


def frames(path):
    """How many frames an image has."""
    with Image.open(path) as image:
        return image.n_frames


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_an_animation_has_a_frame_an_iteration(suffix, curves, tmp_path):
    animate("spiral", curves, tmp_path / f"spiral.{suffix}")
    assert frames(tmp_path / f"spiral.{suffix}") == 3


def test_frames_keep_their_order_and_colours(tmp_path):
    colours = [(0, 114, 178), (213, 94, 0), (0, 158, 115)]
    names = [tmp_path / f"frame{k}.png" for k in range(3)]
    for name, colour in zip(names, colours, strict=True):
        Image.new("RGB", (8, 8), colour).save(name)
    assemble(names, tmp_path / "all.png")
    with Image.open(tmp_path / "all.png") as image:
        for k, colour in enumerate(colours):
            image.seek(k)
            assert image.convert("RGB").getpixel((4, 4)) == colour


def test_an_unknown_animation_is_refused_with_its_name(curves, tmp_path):
    with pytest.raises(AnimationError, match="no animation 'spirals'"):
        animate("spirals", curves, tmp_path / "x.gif")
    assert not (tmp_path / "x.gif").exists()
