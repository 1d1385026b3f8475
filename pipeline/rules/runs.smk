# Runs: one rule instance for each experiment, variant and seed.
RUN = f"{RESULTS}/runs/{{experiment}}/{{variant}}/seed{{seed}}"
RUN_LOG = f"{RESULTS}/logs/runs/{{experiment}}/{{variant}}/seed{{seed}}.log"
RUN_BENCHMARK = f"{RESULTS}/benchmarks/runs/{{experiment}}/{{variant}}/seed{{seed}}.tsv"
MADE_BY = f"{RESULTS}/made_by/{{experiment}}/{{variant}}/seed{{seed}}.csv"


rule train:
    input:
        lambda wildcards: processed(run_of(wildcards)),
    output:
        **{name: f"{RUN}/{name}.csv" for name in ("history", "metrics", "losses", "timing")},
        model=f"{RUN}/model.pt",
    log:
        RUN_LOG,
    benchmark:
        RUN_BENCHMARK
    wildcard_constraints:
        experiment=ids("train"),
    priority: long_first
    conda:
        "../../environment.yml"
    threads: lambda wildcards: run_of(wildcards).settings.threads * run_of(wildcards).settings.processes
    resources:
        **asked("train", by_experiment=True),
    params:
        run=lambda wildcards: run_of(wildcards).parameters(),
        made_by=MADE_BY,
        checkpoint=f"{RESULTS}/checkpoints/{{experiment}}/{{variant}}/seed{{seed}}.pt",
        processed=f"{DATA}/processed",
        device=profile.device,
        precision=profile.precision,
        checkpoint_seconds=profile.checkpoint_seconds,
    script:
        "../scripts/train.py"


rule compute:
    input:
        lambda wildcards: processed(run_of(wildcards)),
    output:
        **{name: f"{RUN}/{name}.csv" for name in ("history", "metrics")},
    log:
        RUN_LOG,
    benchmark:
        RUN_BENCHMARK
    wildcard_constraints:
        experiment=ids("compute"),
    priority: long_first
    conda:
        "../../environment.yml"
    resources:
        **asked("compute", by_experiment=True),
    params:
        run=lambda wildcards: run_of(wildcards).parameters(),
        made_by=MADE_BY,
        processed=f"{DATA}/processed",
    script:
        "../scripts/compute.py"


rule measure:
    input:
        unpack(lambda wildcards: trained_files(run_of(wildcards))),
    output:
        **{name: f"{RUN}/{name}.csv" for name in ("history", "metrics", "timing")},
    log:
        RUN_LOG,
    benchmark:
        RUN_BENCHMARK
    wildcard_constraints:
        experiment=ids("measure"),
    priority: long_first
    conda:
        "../../environment.yml"
    threads: lambda wildcards: run_of(wildcards).settings.threads
    resources:
        **asked("measure", by_experiment=True),
    params:
        run=lambda wildcards: run_of(wildcards).parameters(),
        made_by=MADE_BY,
        trained=lambda wildcards: trained.parameters() if (trained := study.trained(run_of(wildcards))) else None,
        processed=f"{DATA}/processed",
        device=profile.device,
    script:
        "../scripts/measure.py"


rule fit:
    output:
        **{name: f"{RUN}/{name}.csv" for name in ("history", "metrics", "losses", "timing", "curves")},
    log:
        RUN_LOG,
    benchmark:
        RUN_BENCHMARK
    wildcard_constraints:
        experiment=ids("fit"),
    priority: long_first
    conda:
        "../../environment.yml"
    threads: lambda wildcards: run_of(wildcards).settings.threads
    resources:
        **asked("fit", by_experiment=True),
    params:
        run=lambda wildcards: run_of(wildcards).parameters(),
        made_by=MADE_BY,
        checkpoint=f"{RESULTS}/checkpoints/{{experiment}}/{{variant}}/seed{{seed}}.pt",
        device=profile.device,
        checkpoint_seconds=profile.checkpoint_seconds,
    script:
        "../scripts/fit.py"


rule run_in_r:
    input:
        script="rscripts/runs/hand_coded_network.R",
        code=r_code(),
    output:
        **{name: f"{RUN}/{name}.csv" for name in ("history", "metrics")},
    log:
        RUN_LOG,
    benchmark:
        RUN_BENCHMARK
    wildcard_constraints:
        experiment=ids("r"),
    conda:
        "../../environment.yml"
    resources:
        **asked("run_in_r", by_experiment=True),
    params:
        arguments=lambda wildcards: " ".join(
            f"--{name.replace('_', '-')} {value}" for name, value in run_of(wildcards).settings.arguments.items()
        )
        + (f" --reduced {shlex.quote(reduced)}" if (reduced := run_of(wildcards).reduced) else ""),
        folder=lambda wildcards, output: str(Path(output.history).parent),
        made_by=MADE_BY,
    shell:
        "python -m pipeline.runs.made_by {params.made_by} &&"
        " Rscript {input.script} --output {params.folder} --experiment {wildcards.experiment}"
        " --variant {wildcards.variant} {params.arguments} > {log} 2>&1"
