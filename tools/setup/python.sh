#!/bin/sh
# Prints the python that lastwords will run on: $PYTHON, or the first on PATH that is 3.11 or newer.
set -eu

for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if found=$("$candidate" -c 'import sys; sys.version_info >= (3, 11) and print(sys.executable)' 2>/dev/null) &&
        [ -n "$found" ]; then
        echo "$found"
        exit 0
    fi
done
echo "lastwords needs Python 3.11 or newer, and none is on PATH ($(python3 -V 2>&1 || true))." >&2
echo "Install one, or name it: make PYTHON=/path/to/python3.11 ..." >&2
exit 1
