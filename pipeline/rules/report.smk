# The report: one self-contained page from the claims, the tables, the figures and where they came from; and its PDF.
rule write_provenance:
    input:
        data=[f"{DATA}/processed/{name}.json" for name in DATASETS],
        timing=[table for table in TABLES if table.endswith("timing.csv")],
        drawn=rules.figures.input,
    output:
        f"{RESULTS}/provenance.json",
    log:
        f"{RESULTS}/logs/provenance.log",
    conda:
        "../../environment.yml"
    resources:
        **asked("write_provenance"),
    params:
        config=config,
        benchmarks=f"{RESULTS}/benchmarks",
    script:
        "../scripts/write_provenance.py"


rule render_report:
    input:
        claims=f"{RESULTS}/tables/claims.csv",
        errata=rules.evaluate_errata.output,
        tables=TABLES,
        figures=rules.figures.input,
        benchmarks=expand(f"{RESULTS}/figures/{{name}}.svg", name=BENCHMARK_FIGURES),
        provenance=f"{RESULTS}/provenance.json",
        code=r_code("report"),
        words=[
            "pipeline/report/figures.yaml",
            "pipeline/report/contents.yaml",
            "CITATION.cff",
            "docs/adjoint.md",
            *sorted(map(str, Path("pipeline/experiments").glob("*.yaml"))),
        ],
        goals=[f"{BENCHMARKS}/goals.csv"] if BENCHMARKS else [],
        trust=sorted(map(str, Path("data/reference").glob("trust.csv"))),
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../captions/report.rst",
            category="Report",
            labels={"kind": "page"},
        ),
    log:
        f"{RESULTS}/logs/report.log",
    conda:
        "../../environment.yml"
    resources:
        **asked("render_report"),
    script:
        "../scripts/render_report.py"


rule print_report:
    input:
        page=rules.render_report.output[0],
        code=r_code("report/print"),
    output:
        report(
            f"{RESULTS}/report.pdf",
            caption="../captions/report.rst",
            category="Report",
            labels={"kind": "PDF"},
        ),
    log:
        f"{RESULTS}/logs/print.log",
    conda:
        "../../environment.yml"
    resources:
        **asked("print_report"),
    script:
        "../scripts/print_report.py"


rule report:
    input:
        rules.render_report.output,
        rules.print_report.output,
