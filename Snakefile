# The study, from downloads to the report. Each stage is a file of pipeline/rules; what is run is data in
# pipeline/experiments, how much of it is a profile in pipeline/config.
import functools
import shlex
import threading

from snakemake.utils import min_version

from pipeline.runs.exclusive import hold
from pipeline.study import load_study

min_version("9.0")

# A profile given with --configfile stands alone; it is not merged with the default one.
if "profile" not in config:

    configfile: "pipeline/config/default.yaml"


# Scripts import the pipeline from this checkout, whether it is installed or not.
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [workflow.basedir, os.getenv("PYTHONPATH")])))


# Of `--sdm apptainer`; pipeline/container.def builds it.
container: "nodekit.sif"


study = load_study(config)
profile = study.profile
RESULTS, DATA = profile.results, profile.data


onstart:
    held = hold(Path(RESULTS))
    from pipeline.cluster.estimate import announce_progress, announcement

    print(announcement(study, workflow.cores or 1), flush=True)
    # Looks once a minute, and ends with Snakemake.
    look_again = functools.partial(threading.Event().wait, 60)
    said = (study, workflow.cores or 1, look_again, functools.partial(print, flush=True))
    threading.Thread(target=announce_progress, args=said, daemon=True).start()


onsuccess:
    from pipeline.claims import closing_words

    print(closing_words(Path(RESULTS)), flush=True)


wildcard_constraints:
    experiment=r"[A-Z]\d+",
    variant=r"\w+",
    seed=r"\d+",


include: "pipeline/rules/common.smk"
include: "pipeline/rules/shown.smk"
include: "pipeline/rules/data.smk"
include: "pipeline/rules/runs.smk"
include: "pipeline/rules/tables.smk"
include: "pipeline/rules/figures.smk"
include: "pipeline/rules/errata.smk"
include: "pipeline/rules/benchmarks.smk"
include: "pipeline/rules/report.smk"


rule all:
    default_target: True
    input:
        f"{RESULTS}/report.html",
        f"{RESULTS}/report.pdf",
        f"{RESULTS}/tables/claims.csv",
