# Tables: the runs of an experiment stacked, and every published number beside ours.
from pipeline.report.captions import table_words
from pipeline.runs.code import code_files

KIND_TABLES = {
    "train": ["history", "metrics", "losses", "timing"],
    "compute": ["history", "metrics"],
    "measure": ["history", "metrics", "timing"],
    "fit": ["history", "metrics", "losses", "timing", "curves"],
    "r": ["history", "metrics"],
}
TABLES = [
    f"{RESULTS}/tables/{name}/{table}.csv"
    for name, experiment in study.experiments.items()
    for table in KIND_TABLES[experiment.kind]
]


rule tables:
    input:
        TABLES,


# One rule a kind of experiment, because each has tables of its own.
for kind, names in KIND_TABLES.items():

    rule:
        name:
            f"stack_{kind}_runs"
        input:
            lambda wildcards, names=names: [
                f"{RESULTS}/runs/{run.folder}/{name}.csv" for run in study.runs(wildcards.experiment) for name in names
            ],
        output:
            [shown_table(name) for name in names],
        log:
            f"{RESULTS}/logs/tables/{kind}/{{experiment}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/tables/{kind}/{{experiment}}.tsv"
        wildcard_constraints:
            experiment=ids(kind),
        conda:
            "../../environment.yml"
        resources:
            **asked("stack_runs"),
        params:
            words=lambda wildcards: table_words(wildcards.experiment, study),
            called=lambda wildcards: {
                name: study.experiments[wildcards.experiment].called(name)
                for name in study.variants(wildcards.experiment)
            },
        script:
            "../scripts/stack_runs.py"


rule evaluate_claims:
    input:
        published="data/published/claims.csv",
        tables=TABLES,
        kept=sorted(map(str, Path("data/reference").glob("*/claims.csv"))),
        made_by=sorted(map(str, Path("data/reference").glob("*/made_by.csv"))),
        # What is kept may become older than it.
        code=sorted({str(path) for kind in KIND_TABLES for path in code_files(kind, Path())}),
    output:
        report(
            f"{RESULTS}/tables/claims.csv",
            caption="../captions/claims.rst",
            category="Published and reproduced",
            labels={"table": "claims"},
        ),
    log:
        f"{RESULTS}/logs/tables/claims.log",
    conda:
        "../../environment.yml"
    resources:
        **asked("evaluate_claims"),
    params:
        config=config,
    script:
        "../scripts/evaluate_claims.py"
