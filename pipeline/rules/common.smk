# What the rules of all stages share: the runs, their files, their kinds and what they ask of a cluster.
from pipeline.cluster.resources import resources

DATASETS = sorted({run.settings.dataset.name for run in study.runs() if run.settings.dataset})


def r_code(*folders):
    """The R files of rscripts and of some of its folders: what is drawn or written with them is made again."""
    return sorted(str(path) for folder in ("", *folders) for path in Path("rscripts", folder).glob("*.*"))


PLACED_BY_USER = {
    "iceberg": ["train.json", "train.json.7z", "train.json.zip", "train.zip"],
    "cifar10": ["*.bin", "cifar-10-batches-bin/*.bin", "cifar-10-binary.tar.gz"],
}


def placed_by_user(dataset):
    """Files that a user put into data/raw; where they come or change, what was simulated is run again."""
    folder = Path(DATA) / "raw" / dataset
    return sorted(str(path) for name in PLACED_BY_USER.get(dataset, []) for path in folder.glob(name))


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


def long_first(wildcards):
    """The priority of a run: the seconds that the profile expects it to take."""
    return study.expected_seconds(run_of(wildcards))


def needed_first(wildcards):
    """The priority of a data set: that of the longest run on it."""
    users = [run for run in study.runs() if run.settings.dataset and run.settings.dataset.name == wildcards.dataset]
    return max(map(study.expected_seconds, users))


def asked(rule, by_experiment=False):
    """What a rule's job asks of a cluster: GPUs, megabytes and minutes, of a run also by its experiment."""

    def amount(name):
        def of(wildcards):
            if not by_experiment:
                return getattr(resources(study, rule), name)
            devices = run_of(wildcards).settings.processes if rule == "train" else 1
            return getattr(resources(study, rule, wildcards.experiment, devices), name)

        return of

    return {name: amount(name) for name in ("gpu", "mem_mb", "runtime")}
