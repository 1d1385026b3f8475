"""The study's images: found, verified by checksum, laid out as one npz a data set, and dealt out to the runs."""

from pipeline.data._datasets import load_dataset, prepare
from pipeline.data._errors import DataError
from pipeline.data._splits import ImageSplits

__all__ = ["DataError", "ImageSplits", "load_dataset", "prepare"]
