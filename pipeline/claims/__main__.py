"""`python -m pipeline.claims TABLE …`: verdicts of tables of claims anew, from their other columns."""

import sys
from pathlib import Path

import pandas as pd

from pipeline.claims import judged_again
from pipeline.files import write_csv

for path in map(Path, sys.argv[1:]):
    write_csv(judged_again(pd.read_csv(path)), path)
