# What the rules of all stages share: the runs, their files and their kinds.
DATASETS = sorted({run.settings.dataset.name for run in study.runs() if run.settings.dataset})


def r_code(*folders):
    """The R files of rscripts and of some of its folders: what is drawn or written with them is made again."""
    return sorted(str(path) for folder in ("", *folders) for path in Path("rscripts", folder).glob("*.*"))


def placed_by_user(dataset):
    """Iceberg files that a user put into data/raw; where they come or change, what was simulated is run again."""
    folder = Path(DATA) / "raw" / dataset
    names = ["train.json", "train.json.7z", "train.json.zip", "train.zip"] if dataset == "iceberg" else []
    return [str(folder / name) for name in names if (folder / name).exists()]


def processed(run):
    """The prepared files that a run reads: none where nothing is trained."""
    dataset = run.settings.dataset
    return multiext(f"{DATA}/processed/{dataset.name}", ".npz", ".json") if dataset else []


def trained_files(run):
    """What a run that measures a trained network reads: none where it measures something else."""
    trained = study.trained(run)
    if not trained:
        return {}
    folder = f"{RESULTS}/runs/{trained.folder}"
    return {"model": f"{folder}/model.pt", "history": f"{folder}/history.csv", "images": processed(trained)}


def run_of(wildcards):
    return study.run(wildcards.experiment, wildcards.variant, int(wildcards.seed))


def ids(kind):
    """A pattern of the experiments of one kind, so that each output has one rule that makes it."""
    return "|".join(name for name, experiment in study.experiments.items() if experiment.kind == kind) or "none"
