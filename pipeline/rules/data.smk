# Data: found, verified and laid out for the runs; the JSON beside each says where it came from.


# Compute nodes often have no network.
localrules:
    prepare_data,


rule prepare_data:
    input:
        lambda wildcards: placed_by_user(wildcards.dataset),
    output:
        npz=f"{DATA}/processed/{{dataset}}.npz",
        json=f"{DATA}/processed/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/data/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/data/{{dataset}}.tsv"
    priority: needed_first
    conda:
        "../../environment.yml"
    resources:
        **asked("prepare_data"),
    params:
        raw=f"{DATA}/raw",
    script:
        "../scripts/prepare_data.py"
