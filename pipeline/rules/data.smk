# Data: found, verified and laid out for the runs; the JSON beside each says where it came from.


rule prepare_data:
    output:
        npz=f"{DATA}/processed/{{dataset}}.npz",
        json=f"{DATA}/processed/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/data/{{dataset}}.log",
    params:
        raw=f"{DATA}/raw",
        mirror=os.environ.get("NODEKIT_MIRROR") or profile.mirror,
    script:
        "../scripts/prepare_data.py"


def processed(run):
    """The prepared files that a run reads: none where nothing is trained."""
    dataset = run.settings.dataset
    return (
        multiext(f"{DATA}/processed/{dataset.name}", ".npz", ".json") if dataset else []
    )


DATASETS = sorted(
    {run.settings.dataset.name for run in study.runs() if run.settings.dataset}
)
