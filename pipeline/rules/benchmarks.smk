# Benchmarks: nodekit beside its peers, measured only when asked for. The report shows what was measured here, or else
# what is kept with the project.
MEASURED_HERE = f"{RESULTS}/benchmarked"
BENCHMARKS = next(
    (folder for folder in (MEASURED_HERE, "data/reference/benchmarks") if Path(folder, "goals.csv").exists()), None
)
BENCHMARK_FIGURES = {"benchmarks_times": "samples", "benchmarks_growth": "growth"} if BENCHMARKS else {}


rule time_in_r:
    input:
        "rscripts/runs/solve_times.R",
    output:
        temp(f"{RESULTS}/benchmarks/in_r.csv"),
    log:
        f"{RESULTS}/logs/benchmarks_in_r.log",
    conda:
        "../../environment.yml"
    threads: lambda wildcards: workflow.cores
    resources:
        **asked("time_in_r"),
    params:
        seconds=profile.benchmark_seconds,
    shell:
        "Rscript {input} --output {output} --seconds {params.seconds} > {log} 2>&1"


rule benchmarks:
    input:
        multiext(f"{DATA}/processed/mnist", ".npz", ".json"),
        in_r=f"{RESULTS}/benchmarks/in_r.csv",
    output:
        touch(f"{RESULTS}/benchmarks.done"),
    log:
        f"{RESULTS}/logs/benchmarks.log",
    conda:
        "../../environment.yml"
    threads: lambda wildcards: workflow.cores
    resources:
        **asked("benchmarks"),
    params:
        seconds=profile.benchmark_seconds,
        # No output of the rule: a change of code must not measure again unasked.
        folder=MEASURED_HERE,
    script:
        "../scripts/measure_benchmarks.py"


rule draw_benchmarks:
    input:
        table=lambda wildcards: f"{BENCHMARKS}/{BENCHMARK_FIGURES[wildcards.name]}.csv",
        code=r_code("figures"),
    output:
        multiext(f"{RESULTS}/figures/{{name}}", ".png", ".svg", ".pdf"),
    log:
        f"{RESULTS}/logs/figures/{{name}}.log",
    wildcard_constraints:
        name="|".join(BENCHMARK_FIGURES) or "none",
    conda:
        "../../environment.yml"
    resources:
        **asked("draw_benchmarks"),
    params:
        argument=lambda wildcards: BENCHMARK_FIGURES[wildcards.name],
    script:
        "../scripts/draw_benchmarks.py"
