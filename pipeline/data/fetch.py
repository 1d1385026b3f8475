"""A mirror folder for machines without a network: every data file with its sum, and what software they need.

`python -m pipeline.data.fetch FOLDER`; there, `NODEKIT_MIRROR=FOLDER` or the profile's `mirror` names it.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import sys
from logging import Logger
from pathlib import Path

from pipeline.data import DataError
from pipeline.data._registry import Source, load_registry
from pipeline.data._sources import Missing, obtain
from pipeline.files import replacing, write_text

RAW = Path("data/raw")
SETUP = Path("pipeline/setup.sh")
# Without these the study simulates images, and says so.
SIMULATED_WITHOUT = {"iceberg", "cifar10"}


def fetch(
    folder: Path, raw: Path = RAW, sources: dict[str, Source] | None = None, log: Logger | None = None
) -> list[str]:
    """Fill `folder` with the files of all data sets, `SHA256SUMS` and `SOFTWARE.md`; return what could not be had.

    folder: the mirror, made where it is not there; what it holds is verified and kept.
    raw: where files are looked for before they are downloaded. sources: by name; all registered ones by default.
    Raises DataError where a file is damaged, or a data set could not be had that the study cannot do without.
    """
    log = log or logging.getLogger(__name__)
    folder.mkdir(parents=True, exist_ok=True)
    missing = []
    for name, source in (sources or load_registry()).items():
        try:
            found = obtain(source, folder, raw if raw.is_dir() else None, log)
        except Missing as error:
            if name not in SIMULATED_WITHOUT:
                raise
            log.warning("%s The study will use simulated images instead.", error)
            missing.append(name)
            continue
        for path in {hit.path for hit in found.values()}:
            if folder not in path.parents:
                copy(path, folder / path.relative_to(raw))
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent != folder)
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    write_text("".join(lines), folder / "SHA256SUMS")
    write_text(software(), folder / "SOFTWARE.md")
    return missing


def copy(path: Path, target: Path) -> None:
    """Copy a file whole or not at all."""
    with replacing(target) as temporary:
        shutil.copyfile(path, temporary)


def sha256(path: Path) -> str:
    """The sum of a file, which need not fit into memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def software() -> str:
    """What a machine without a network needs beside the data, and how to bring it there, in words."""
    text = SETUP.read_text(encoding="utf-8").replace("\\\n", " ")
    packages = dict(re.findall(r'^(\w+_packages)="([^"]+)"', text, flags=re.MULTILINE))
    debian = packages["debian_packages"].replace("$r_packages", packages["r_packages"]).split()
    return f"""# What a machine without a network needs beside this folder

1. A checkout of the repository.
2. Python 3.11 or newer, make, and these packages of Debian: {", ".join(debian)}.
   On a machine with a network and the same Debian: `apt-get install --download-only --reinstall <packages>` puts them
   into /var/cache/apt/archives; there: `dpkg --install *.deb`.
3. uv and the Python packages of uv.lock, with their sums. On a machine with a network, the same Python and system:
   `uv export --frozen --no-emit-project --output-file requirements.txt` and
   `uv run --with pip pip download --requirement requirements.txt --dest wheels`; there: `uv venv`,
   `uv pip install --offline --no-index --find-links wheels --requirement requirements.txt` and
   `uv pip install --offline --no-build-isolation --no-deps --editable .`
4. `sha256sum --check SHA256SUMS` in this folder, and then, in the checkout:
   `NODEKIT_MIRROR=<this folder> .venv/bin/snakemake --cores`
"""


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "mirror")
    try:
        missing = fetch(folder)
    except DataError as error:
        sys.exit(str(error))
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    without = f", without {' and '.join(missing)}: simulated images there" if missing else ""
    print(f"{folder} holds {held / 1e6:.0f} MB{without}; see {folder / 'SOFTWARE.md'} for what else is needed")


if __name__ == "__main__":
    main()
