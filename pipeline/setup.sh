#!/bin/sh
# Installs what the study needs: R with its packages, uv, and the locked Python environment in .venv; where there is
# no Debian or Ubuntu with root but a conda, everything from environment.yml in .conda. Run again, it installs nothing.
set -eu
cd "$(dirname "$0")/.."

r_packages="r-base-core r-base-dev r-cran-desolve r-cran-ggplot2 r-cran-jsonlite r-cran-lintr r-cran-patchwork
    r-cran-reticulate r-cran-rmarkdown r-cran-testthat"
debian_packages="$r_packages pandoc fonts-dejavu-core python3-dev"
python=${PYTHON:-python3}

say() { printf '%s\n' "$*" >&2; }
started=$(date +%s)
done_installing() { say "  installed: $1 ($(du -sh "$1" | cut -f 1)), $(($(date +%s) - started)) s after the start"; }

# The recipe of this installation: when it changes, the set-up is done again.
recipe=$(cat pipeline/setup.sh uv.lock environment.yml | cksum)
for environment in .venv .conda; do
    if [ "$(cat "$environment/.complete" 2>/dev/null)" = "$recipe" ] &&
        PATH="$PWD/$environment/bin:$PATH" command -v Rscript >/dev/null; then
        exit 0
    fi
done

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

install_debian_packages() {
    as_root apt-get update -qq
    size=$(apt-get install --print-uris -qq --no-install-recommends --no-upgrade $debian_packages |
        awk '{ bytes += $3 } END { printf "%d packages, %.0f MB to download", NR, bytes / 1e6 }')
    say "Installing R and its packages from Debian ($size) ..."
    # On a terminal apt shows how far it is; elsewhere its hundreds of lines would hide everything else.
    quiet=-qq output=/dev/null
    if [ -t 2 ]; then quiet=-q output=/dev/stderr; fi
    as_root env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes \
        apt-get install -y $quiet --no-install-recommends --no-upgrade $debian_packages >$output
    say "  installed: $(($(date +%s) - started)) s after the start"
}

have_debian_packages() {
    command -v dpkg-query >/dev/null && dpkg-query --show $debian_packages >/dev/null 2>&1
}

can_install_debian_packages() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; }
}

find_conda() {
    for conda in mamba micromamba conda; do
        if command -v "$conda" >/dev/null; then echo "$conda"; return; fi
    done
}

missing() {
    say "The study needs R >= 4.1 with its packages, and they could not be installed here:"
    for command in Rscript pandoc gcc make; do command -v "$command" >/dev/null || say "  missing: $command"; done
    say "Either, with the rights of root on Debian or Ubuntu:"
    say "  apt-get install $(echo $debian_packages)"
    say "or install conda (https://conda-forge.org/download) and run the same command again."
    exit 1
}

install_with_conda() {
    say "Installing R and Python from environment.yml with $1 ..."
    "$1" env create --yes --prefix .conda --file environment.yml
    .conda/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
    done_installing .conda
    echo "$recipe" >.conda/.complete
}

install_uv() {
    if command -v uv >/dev/null; then uv=uv; return; fi
    uv=.tools/bin/uv
    [ -x "$uv" ] && return
    "$python" -m pip --version >/dev/null 2>&1 || { say "missing: pip for $python (Debian: apt-get install python3-pip)"; exit 1; }
    say "Installing uv into .tools ..."
    "$python" -m pip install --quiet --root-user-action ignore --target .tools uv
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    { say "missing: Python >= 3.11 (found: $("$python" --version 2>&1 || true)); set PYTHON to one"; exit 1; }

if ! have_debian_packages; then
    if can_install_debian_packages; then
        install_debian_packages
    elif [ -n "$(find_conda)" ]; then
        install_with_conda "$(find_conda)"
        exit 0
    elif ! { command -v Rscript && command -v pandoc && command -v gcc; } >/dev/null; then
        missing
    fi
fi

install_uv
say "Installing the locked Python environment into .venv; the largest package is PyTorch with its GPU libraries ..."
# Compiled here once: where Python may not write beside its modules, as in many containers, every job would do it again.
# uv gives a file 60 s, which is too little where many share a machine.
env -u VIRTUAL_ENV UV_COMPILE_BYTECODE_TIMEOUT=600 "$uv" sync --frozen --compile-bytecode --python "$python"
done_installing .venv
echo "$recipe" >.venv/.complete
