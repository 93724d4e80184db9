#!/bin/sh
# install_packages.sh PIP...: `PIP... install` with the user's CA and index, which are build secrets, if there are any.
# Every package is pinned by its hash in the file of requirements, so the index is not trusted.
set -eu

if [ -e /run/secrets/ca ]; then
    export PIP_CERT=/run/secrets/ca
fi
if [ -e /run/secrets/pip ]; then
    export PIP_CONFIG_FILE=/run/secrets/pip
fi
export PIP_NO_CACHE_DIR=off PIP_DISABLE_PIP_VERSION_CHECK=1
exec "$@"
