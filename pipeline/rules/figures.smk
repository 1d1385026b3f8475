# Figures: each an R function over tables, drawn through rpy2 in a process of its own; some also move.
from pipeline.report.captions import figure_words
from pipeline.report.figures import load_figures

FIGURES = {name: figure for name, figure in load_figures().items() if figure.experiment in study.experiments}
ANIMATED = [name for name, figure in FIGURES.items() if figure.animated]


rule figures:
    input:
        expand(f"{RESULTS}/figures/{{name}}.{{kind}}", name=FIGURES, kind=["png", "svg", "pdf"]),
        expand(f"{RESULTS}/figures/{{name}}.gif", name=ANIMATED),


rule draw_figure:
    input:
        unpack(lambda wildcards: FIGURES[wildcards.name].files(RESULTS)),
        code=r_code("figures"),
    output:
        shown_figure(f"{RESULTS}/figures/{{name}}.png", "still"),
        multiext(f"{RESULTS}/figures/{{name}}", ".svg", ".pdf"),
    log:
        f"{RESULTS}/logs/figures/{{name}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/{{name}}.tsv"
    wildcard_constraints:
        name="|".join(FIGURES) or "none",
    conda:
        "../../environment.yml"
    resources:
        **asked("draw_figure"),
    params:
        words=lambda wildcards: figure_words(FIGURES[wildcards.name], study),
    script:
        "../scripts/draw_figure.py"


rule animate_figure:
    input:
        curves=lambda wildcards: FIGURES[wildcards.name].files(RESULTS)["curves"],
        code=r_code("figures"),
    output:
        shown_figure(f"{RESULTS}/figures/{{name}}.gif", "moving"),
    log:
        f"{RESULTS}/logs/animations/{{name}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/animations/{{name}}.tsv"
    wildcard_constraints:
        name="|".join(ANIMATED) or "none",
    conda:
        "../../environment.yml"
    resources:
        **asked("animate_figure"),
    params:
        words=lambda wildcards: figure_words(FIGURES[wildcards.name], study),
    script:
        "../scripts/animate_figure.py"
