"""Rule animate_figure: the animation of one figure of the registry, from the curves of its run."""

from pathlib import Path

from pipeline.animation import animate
from pipeline.figures import load_figures

figure = load_figures()[snakemake.wildcards.name]  # noqa: F821
animate(figure.frames, Path(snakemake.input.curves), Path(snakemake.output[0]))  # noqa: F821
