# Data: found, verified and laid out for the runs; the JSON beside each says where it came from.


rule prepare_data:
    output:
        npz=f"{DATA}/processed/{{dataset}}.npz",
        json=f"{DATA}/processed/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/data/{{dataset}}.log",
    conda:
        "../../environment.yml"
    params:
        raw=f"{DATA}/raw",
        mirror=os.environ.get("NODEKIT_MIRROR") or profile.mirror,
    script:
        "../scripts/prepare_data.py"
