#!/bin/sh
# .venv: lastwords as it is in this checkout, and the tools of its developers. Does nothing if nothing has changed.
# Where packages come from is the business of the machine's pip settings.
set -eu

cd "$(dirname "$0")/../.."
stamp=.venv/.made-from
log=.cache/setup.log

read_dev_group() {
    .venv/bin/python -c '
import tomllib
with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["dependency-groups"]["dev"], sep="\n")'
}

pip_install() {
    .venv/bin/python -m pip --disable-pip-version-check --no-input install "$@"
}

install() {
    read_dev_group >.cache/dev-group.txt &&
        pip_install --upgrade pip && pip_install -r .cache/dev-group.txt && pip_install -e .
}

# The version is read from __init__.py; a .venv that was moved here from elsewhere is another one.
inputs="$(cat pyproject.toml tools/setup/venv.sh tools/lastwords/__init__.py | sha256sum) $PWD"
if [ -x .venv/bin/lastwords ] && [ "$(cat $stamp 2>/dev/null)" = "$inputs" ] && .venv/bin/python -c ''; then
    exit 0
fi
mkdir -p .cache
echo "setting up .venv (lastwords and the tools to develop it)"
if ! .venv/bin/python -c '' 2>/dev/null; then
    python=$(sh tools/setup/python.sh)
    "$python" -m venv --clear .venv
fi
if ! install >"$log" 2>&1; then
    echo "pip could not install what pyproject.toml asks for into .venv:" >&2
    (grep -E '^ *(ERROR|error|[A-Za-z]+Error):' "$log" || tail -n 3 "$log") | head -n 3 >&2
    echo "Is a package index in reach? Connect the machine, or name its mirror to pip (PIP_INDEX_URL or pip.conf)," >&2
    echo "and run make again. All that pip said: $log" >&2
    exit 1
fi
echo "$inputs" >$stamp
