"""Animations from frames that R draws: GIF or animated PNG, by Pillow.

python -m pipeline.report.animation spiral results/runs/D1/whole_path/seed1/curves.csv results/figures/spiral.gif
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from pipeline.files import replacing

SCRIPT = Path(__file__).resolve().parents[2] / "rscripts" / "animate.R"
FRAME_MILLISECONDS = 180
# The first and the last frame stay long enough to be looked at.
END_MILLISECONDS = 1500


class AnimationError(RuntimeError):
    """Frames could not be drawn; the message is R's."""


def animate(name: str, curves: Path, output: Path) -> None:
    """Draw the animation `name` of rscripts/figures from a run's curves.csv, whole or not at all.

    output: its suffix is the format, .gif or .png (animated). Raises `AnimationError` with R's message.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ["Rscript", str(SCRIPT), name, folder, f"curves={curves}"]
        drawn = subprocess.run(command, capture_output=True, text=True)
        if drawn.returncode:
            raise AnimationError(f"animation '{name}': {drawn.stderr.strip()}")
        assemble(sorted(Path(folder).glob("frame*.png")), output)


def assemble(frames: list[Path], output: Path) -> None:
    """Put drawn frames together into one endless animation."""
    images = [Image.open(frame).convert("RGB") for frame in frames]
    if output.suffix == ".gif":
        # One palette for all, so that colours do not flicker.
        width, height = images[0].size
        together = Image.new("RGB", (width, height * len(images)))
        for k, image in enumerate(images):
            together.paste(image, (0, k * height))
        palette = together.quantize(256)
        images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    durations = [END_MILLISECONDS, *[FRAME_MILLISECONDS] * (len(images) - 2), END_MILLISECONDS]
    kind = {".gif": "GIF", ".png": "PNG"}[output.suffix]
    with replacing(output) as temporary:
        images[0].save(
            temporary, format=kind, save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True
        )


if __name__ == "__main__":
    animate(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
