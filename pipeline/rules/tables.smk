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


rule stack_runs:
    input:
        lambda wildcards: [
            f"{RESULTS}/runs/{run.folder}/{wildcards.table}.csv" for run in study.runs(wildcards.experiment)
        ],
    output:
        f"{RESULTS}/tables/{{experiment}}/{{table}}.csv",
    log:
        f"{RESULTS}/logs/tables/{{experiment}}/{{table}}.log",
    wildcard_constraints:
        table="history|metrics|losses|timing|curves",
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
