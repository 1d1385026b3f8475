# Tables: the runs of an experiment stacked, and every published number beside ours.
KIND_TABLES = {
    "train": ["history", "metrics", "losses", "timing"],
    "compute": ["history", "metrics"],
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
            [f"{RESULTS}/tables/{{experiment}}/{name}.csv" for name in names],
        log:
            f"{RESULTS}/logs/tables/{kind}/{{experiment}}.log",
        wildcard_constraints:
            experiment=ids(kind),
        conda:
            "../../environment.yml"
        script:
            "../scripts/stack_runs.py"


rule evaluate_claims:
    input:
        published="data/published/claims.csv",
        tables=TABLES,
        data=[f"{DATA}/processed/{name}.json" for name in DATASETS],
    output:
        f"{RESULTS}/tables/claims.csv",
    log:
        f"{RESULTS}/logs/tables/claims.log",
    conda:
        "../../environment.yml"
    params:
        config=config,
    script:
        "../scripts/evaluate_claims.py"
