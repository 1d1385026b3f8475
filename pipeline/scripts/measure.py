"""Rule measure: one run's memory, evaluations and seconds from its settings to its tables, or one clear message."""

import logging
import sys
from pathlib import Path

import pandas as pd
import torch

from nodekit.errors import NodekitError
from pipeline.data import DataError, load_dataset
from pipeline.files import write_csv
from pipeline.measure.trained_odenet import TrainedNetwork
from pipeline.models import build
from pipeline.runs.code import code_of
from pipeline.runs.function import function_of
from pipeline.runs.logs import log_to
from pipeline.runs.made_by import sign
from pipeline.study import ConfigurationError, Run

job = snakemake  # noqa: F821
params = job.params
log_to(job.log[0])


def trained_network() -> TrainedNetwork:
    """The network that another run trained, with that run's images and history."""
    run = Run.model_validate(params.trained)
    network = build(run.settings.model, run.settings.solver)
    network.load_state_dict(torch.load(job.input.model, map_location="cpu", weights_only=True))
    splits = load_dataset(run.settings.dataset, run.seed, Path(params.processed))
    return TrainedNetwork(run, network, splits, pd.read_csv(job.input.history))


try:
    run = Run.model_validate(params.run)
    sign(params.made_by, code=code_of(run))
    gpu = params.device == "cuda" or (params.device == "auto" and torch.cuda.is_available())
    given = [trained_network()] if run.settings.trained else []
    for name, table in function_of(run)(run, torch.device("cuda" if gpu else "cpu"), *given).items():
        write_csv(table, Path(job.output[name]))
except (ConfigurationError, DataError, NodekitError, OSError) as error:
    logging.error("%s", error)
    sys.exit(1)
