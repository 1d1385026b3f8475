# Figures: each an R function over tables, drawn through rpy2 in a process of its own.
from pipeline.figures import load_figures

FIGURES = {name: figure for name, figure in load_figures().items() if figure.experiment in study.experiments}


rule figures:
    input:
        expand(
            f"{RESULTS}/figures/{{name}}.{{kind}}",
            name=FIGURES,
            kind=["png", "svg", "pdf"],
        ),


rule draw_figure:
    input:
        unpack(lambda wildcards: FIGURES[wildcards.name].files(RESULTS)),
        code=r_code("figures"),
    output:
        multiext(f"{RESULTS}/figures/{{name}}", ".png", ".svg", ".pdf"),
    log:
        f"{RESULTS}/logs/figures/{{name}}.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/draw_figure.py"
