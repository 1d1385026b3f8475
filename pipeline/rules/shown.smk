# How outputs appear in `snakemake --report`: with caption, category and labels.
from pipeline.report.captions import TABLES as TABLE_WORDS, data_source


def shown_table(name):
    """The tables of one name, listed by `snakemake --report` with their caption, category and labels."""

    def labels(wildcards):
        experiment = study.experiments[wildcards.experiment]
        return {
            "experiment": experiment.id,
            "table": name,
            "rows": TABLE_WORDS[name],
            "document": experiment.document,
            "data": data_source(Path(RESULTS, "tables", experiment.id, "metrics.csv")),
        }

    return report(
        f"{RESULTS}/tables/{{experiment}}/{name}.csv",
        caption="../captions/table.rst",
        category="Tables",
        labels=labels,
    )


def shown_figure(path, kind):
    """The output at `path`, listed by `snakemake --report` with its caption, category and labels."""

    def labels(wildcards):
        figure = FIGURES[wildcards.name]
        return {
            "figure": figure.name.replace("_", " "),
            "experiment": figure.experiment,
            "document": figure.document,
            "kind": kind,
            "data": data_source(Path(RESULTS, "tables", figure.experiment, "metrics.csv")),
        }

    return report(
        path,
        caption="../captions/figure.rst",
        category=lambda wildcards: FIGURES[wildcards.name].category,
        labels=labels,
    )
