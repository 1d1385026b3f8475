# Errata: every place where a document's words and its own numbers, listing or a computation disagree, checked.
from pipeline.errata import load_errata

ERRATA = load_errata()


rule evaluate_errata:
    input:
        errata="pipeline/errata/errata.yaml",
        disagreements="pipeline/errata/disagreements.yaml",
        tables=[
            f"{RESULTS}/tables/{name}/metrics.csv"
            for name in sorted({name for erratum in ERRATA for name in erratum.needs} & set(study.experiments))
        ],
        data=[f"{DATA}/processed/{name}.json" for name in sorted({erratum.data for erratum in ERRATA} & set(DATASETS))],
    output:
        errata=report(
            f"{RESULTS}/tables/errata.csv",
            caption="../captions/errata.rst",
            category="Published and reproduced",
            labels={"table": "errata"},
        ),
        disagreements=report(
            f"{RESULTS}/tables/disagreements.csv",
            caption="../captions/disagreements.rst",
            category="Published and reproduced",
            labels={"table": "disagreements"},
        ),
    log:
        f"{RESULTS}/logs/tables/errata.log",
    benchmark:
        f"{RESULTS}/benchmarks/errata/errata.tsv"
    conda:
        "../../environment.yml"
    resources:
        **asked("evaluate_errata"),
    params:
        config=config,
    script:
        "../scripts/evaluate_errata.py"
