"""What the study runs, as validated data: experiments at the documents' own sizes, and the profile laid over them."""

from __future__ import annotations

import copy
import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

EXPERIMENTS = Path(__file__).parent / "experiments"
# What documents call methods that have other names → their names in nodekit.
DOCUMENT_METHODS = {"slides_midpoint": "heun", "ulala_crank_nicolson": "implicit_midpoint"}


def nodekit_method(name: str) -> str:
    """nodekit's name of a method, which a document may call otherwise."""
    return DOCUMENT_METHODS.get(name, name)


class ConfigurationError(ValueError):
    """A configuration file says something the study cannot do; the message names the place and the remedy."""


class Strict(BaseModel):
    """A schema that refuses unknown keys, so that a misspelt setting is never silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Solver(Strict):
    """How an ODE block is solved and differentiated; the names are nodekit's, once a document's method is read."""

    method: Annotated[str, AfterValidator(nodekit_method)]
    step_size: float | None = None
    rtol: float = 1e-3
    atol: float = 1e-3
    gradient: Literal["backprop", "checkpoint", "adjoint", "interpolated", "reversible"] = "adjoint"
    options: dict[str, Any] = {}


class Dataset(Strict):
    """Which images, arranged how, and how many (None: all there are)."""

    name: Literal["mnist", "iceberg", "shapes", "cifar10"]
    arrangement: str = "corrected"
    train_images: int | None = Field(default=None, gt=0)
    test_images: int | None = Field(default=None, gt=0)
    # Who draws the images to train on, where chance does: the run's seed, or R's set.seed(1) and sample().
    split: Literal["seed", "R"] = "seed"


class Model(Strict):
    """A model of `pipeline.models` by name, with its keyword arguments."""

    name: str
    arguments: dict[str, Any] = {}


class Optimizer(Strict):
    """An optimizer of `torch.optim` by name, with its keyword arguments."""

    name: Literal["SGD", "Adam", "RMSprop"]
    arguments: dict[str, Any] = {}


class Transform(Strict):
    """A transform of `torchvision.transforms.v2` by name, with its keyword arguments."""

    name: str
    arguments: dict[str, Any] = {}


class Schedule(Strict):
    """How the learning rate changes from epoch to epoch, as `torch.optim.lr_scheduler` does it."""

    name: Literal["MultiStepLR"]
    arguments: dict[str, Any] = {}


class Trained(Strict):
    """The training run whose model is measured: that of the same seed."""

    experiment: str
    variant: str


class Settings(Strict):
    """Everything that determines one kind of run; a profile or a variant may override any part of it."""

    seeds: int = Field(default=1, ge=1, le=1000)
    threads: int = Field(default=1, ge=1)
    # Of one training, each with a process of so many threads; "auto": all GPUs that it sees.
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    dataset: Dataset | None = None
    model: Model | None = None
    solver: Solver | None = None
    augmentation: list[Transform] = []
    optimizer: Optimizer | None = None
    schedule: Schedule | None = None
    loss: Literal["cross_entropy", "binary_cross_entropy", "softmax_binary_cross_entropy"] | None = None
    epochs: int = Field(default=1, ge=1)
    batch_size: int = Field(default=32, ge=1)
    test_batch_size: int = Field(default=128, ge=1)
    # Training accuracy: counted while learning, on what augmentation makes of the images, or on them as they are after
    # each epoch.
    train_accuracy: Literal["while learning", "after the epoch"] = "while learning"
    peak_memory: bool = False
    trained: Trained | None = None
    arguments: dict[str, Any] = {}

    @property
    def processes(self) -> int:
        """How many processes a training is known to take."""
        return 1 if self.devices == "auto" else self.devices


class Experiment(Strict):
    """One row of the study: where it stands in the documents, how it is run, and in which variants."""

    id: str
    title: str
    document: Literal["thind", "ulala", "homework", "slides", "reading"]
    place: str
    # "r" is answered by a script of R.
    kind: Literal["train", "compute", "measure", "fit", "r"]
    # That answers, as module.function below the folder of the kind; a training needs none.
    function: Annotated[str, Field(pattern=r"^\w+\.\w+$")] | None = None
    settings: Settings
    variants: dict[str, dict[str, Any]] = {"main": {}}
    # What figures and the report call a variant; one that is not named here goes by its key, underscores as spaces.
    variant_names: dict[str, str] = {}
    # By metric: how far an equal number may be.
    tolerances: dict[str, float] = {}
    # By metric: how far the prediction interval of one more run may reach to either side and still say something.
    reaches: dict[str, float] = {}
    # What the document does not give, so that this study had to choose it, in words.
    invented: dict[Literal["data", "network"], str] = {}

    @model_validator(mode="after")
    def _answered(self) -> Experiment:
        if (self.function is None) == (self.kind in ("compute", "measure", "fit")):
            raise ValueError(f"an experiment of kind {self.kind!r} has {'no' if self.function else 'a'} function")
        return self

    @model_validator(mode="after")
    def _names_its_own(self) -> Experiment:
        unknown = self.variant_names.keys() - self.variants.keys()
        if unknown:
            raise ValueError(
                f"variant_names: no variants {', '.join(sorted(unknown))}; there are {', '.join(self.variants)}"
            )
        return self

    def called(self, variant: str) -> str:
        """What figures and the report call a variant."""
        return self.variant_names.get(variant, variant.replace("_", " "))


# Where a run's data come from: real, made in place of real ones, a part of them, or computed.
Origin = Literal["real", "simulated", "incomplete", "computed"]


class Run(Strict):
    """One experiment, one variant, one seed, with its settings resolved.

    reduced: what was made smaller than the document has it, in words, the parts joined by `PART`.
    """

    experiment: str
    variant: str
    seed: int
    kind: str
    function: str | None = None
    settings: Settings
    reduced: str = ""

    @property
    def folder(self) -> str:
        """The run's folder below `results/runs`."""
        return f"{self.experiment}/{self.variant}/seed{self.seed}"

    def parameters(self) -> dict[str, Any]:
        """All that the run depends on, as plain values: how many seeds there are besides its own is not among them."""
        return self.model_dump(exclude={"settings": {"seeds"}})


class Profile(Strict):
    """A file of `pipeline/config`: which experiments run, on what, and which of their settings are made smaller."""

    profile: str
    experiments: list[str]
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    mirror: str | None = None
    checkpoint_seconds: float = Field(default=30, ge=0)
    # Of each measurement of `make benchmarks`.
    benchmark_seconds: float = Field(default=20, gt=0)
    results: str = "results"
    data: str = "data"
    # By experiment, or by experiment/variant.
    overrides: dict[str, dict[str, Any]] = {}
    # Variants, as experiment/variant, that are not run.
    left_out: list[str] = []
    # What jobs ask of a cluster, by rule or experiment: laid over pipeline/cluster/resources.yaml.
    resources: dict[str, dict[str, int]] = {}
    # Of one run, roughly, by experiment or experiment/variant: runs that take longest start first, so that no core
    # idles while the last one ends.
    expected_seconds: dict[str, float] = {}


class Study(BaseModel):
    """The experiments a profile selects, in its order, and the runs they expand to."""

    profile: Profile
    experiments: dict[str, Experiment]

    def run(self, experiment: str, variant: str, seed: int) -> Run:
        """The resolved run of one variant and seed, the profile's overrides applied last."""
        chosen = self.experiments[experiment]
        document = merge(chosen.settings.model_dump(), chosen.variants[variant])
        overrides = [self.profile.overrides.get(name, {}) for name in (experiment, f"{experiment}/{variant}")]
        where = f"{experiment}, variant {variant}, profile {self.profile.profile}"
        resolved = validated(Settings, merge(merge(document, overrides[0]), overrides[1]), where)
        reduced = reductions(validated(Settings, document, where), resolved)
        if resolved.trained:
            training = self.run(resolved.trained.experiment, resolved.trained.variant, seed).reduced
            parts = {"trained with": training, "measured with": reduced}
            every = [f"{did} {part}" for did, words in parts.items() for part in words.split(PART) if part]
            reduced = PART.join(every)
        return Run(
            experiment=experiment,
            variant=variant,
            seed=seed,
            kind=chosen.kind,
            function=chosen.function,
            settings=resolved,
            reduced=reduced,
        )

    def variants(self, experiment: str) -> list[str]:
        """The variants of an experiment that the profile runs."""
        left_out = self.profile.left_out
        return [name for name in self.experiments[experiment].variants if f"{experiment}/{name}" not in left_out]

    def expected_seconds(self, run: Run) -> float:
        """What the profile expects a run to take: by variant, or else by experiment; 0 where it says nothing."""
        expected = self.profile.expected_seconds
        return expected.get(f"{run.experiment}/{run.variant}", expected.get(run.experiment, 0))

    def trained(self, run: Run) -> Run | None:
        """The training run whose model `run` measures, where it does."""
        chosen = run.settings.trained
        return self.run(chosen.experiment, chosen.variant, run.seed) if chosen else None

    def runs(self, experiment: str | None = None, kind: str | None = None) -> list[Run]:
        """Every run of the study, or of one experiment or kind."""
        names = [experiment] if experiment else list(self.experiments)
        every = [
            self.run(name, variant, seed)
            for name in names
            for variant in self.variants(name)
            for seed in range(1, self.run(name, variant, 1).settings.seeds + 1)
        ]
        return [run for run in every if kind is None or run.kind == kind]


def merge(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `override` put over it, mappings merged key by key."""
    merged = copy.deepcopy(base)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


# Between the things that a run reduced.
PART = "; "
# The images of whole data sets; the shapes are as many as they are asked to be.
WHOLE = {
    "mnist": {"train_images": 60000, "test_images": 10000},
    "iceberg": {"train_images": 1300, "test_images": 304},
    "cifar10": {"train_images": 50000, "test_images": 10000},
}
SIZES = {
    "epochs": "epochs",
    "dataset.train_images": "training images",
    "dataset.test_images": "test images",
}
# What is not a size: seeds are told by their number everywhere; threads, devices and the frequency of logging change no
# result.
NOT_SIZES = {"seeds", "threads", "devices", "arguments.log_every"}


def reductions(document: Settings, resolved: Settings) -> str:
    """What the profile changed of the document's own settings, in words; empty where nothing was."""
    before, after = flattened(document.model_dump()), flattened(resolved.model_dump())
    parts = []
    for path, was in before.items():
        now = after.get(path)
        if path in NOT_SIZES or now == was:
            continue
        if path in SIZES:
            whole = WHOLE.get(resolved.dataset.name, {}).get(path.partition(".")[2], "all") if was is None else was
            parts.append(f"{now} of {whole} {SIZES[path]}")
        else:
            words = (
                path.removeprefix("model.")
                .removeprefix("arguments.")
                .removeprefix("solver.")
                .replace(".", " ")
                .replace("_", " ")
            )
            parts.append(f"{words} {now} instead of {was}")
    return PART.join(parts)


def flattened(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one of dotted paths."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        flat |= flattened(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat


def validated(schema: type[BaseModel], values: dict[str, Any], where: str) -> Any:
    """`values` as `schema`, or a ConfigurationError that names the key, the place and the nearest known name."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        message = f"{where}: {path}: {first['msg']}"
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(first["loc"][-1]), known_keys(schema), n=1)
            message = f"{where}: unknown setting '{path}'" + (f"; did you mean '{near[0]}'?" if near else "")
        raise ConfigurationError(message) from None


def known_keys(schema: type[BaseModel]) -> list[str]:
    """The names of all fields of a schema and of the schemas inside it."""
    names = []
    for name, field in schema.model_fields.items():
        names.append(name)
        for candidate in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                names += known_keys(candidate)
    return names


def load_experiments(folder: Path = EXPERIMENTS) -> dict[str, Experiment]:
    """Every experiment of the YAML files in `folder`, by id."""
    found: dict[str, Experiment] = {}
    for path in sorted(folder.glob("*.yaml")):
        for name, values in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            found[name] = validated(Experiment, {"id": name, **values}, f"{path.name}: {name}")
    return found


def refuse_unknown(what: str, name: str, known: list[str]) -> None:
    """Raises ConfigurationError for a name that is not known, with the nearest one that is."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(known)}"
        raise ConfigurationError(f"configuration: unknown {what} '{name}'{hint}")


def load_study(config: dict[str, Any]) -> Study:
    """The study that a configuration (as Snakemake hands it over) describes."""
    profile = validated(Profile, config, "configuration")
    known = load_experiments()
    for name in [*profile.experiments, *profile.overrides, *profile.left_out, *profile.expected_seconds]:
        experiment, _, variant = name.partition("/")
        refuse_unknown("experiment", experiment, list(known))
        if variant or name in profile.left_out:
            refuse_unknown(f"variant of {experiment}", variant, list(known[experiment].variants))
    study = Study(profile=profile, experiments={name: known[name] for name in profile.experiments})
    for name, experiment in study.experiments.items():
        trained = experiment.settings.trained
        if trained and trained.experiment not in study.experiments:
            raise ConfigurationError(
                f"configuration: {name} measures what {trained.experiment} trained; add it to 'experiments'"
            )
    study.runs()
    return study
