#!/bin/sh
# What is in this image, one line each: kind, name, version, where it is from or its checksum. Tab-separated.
printf 'kind\tname\tversion\torigin\n'
cat /usr/src/source.tsv 2>/dev/null
# shellcheck disable=SC2016  # dpkg-query's own ${...}
dpkg-query --show --showformat='debian\t${Package}\t${Version}\t${Architecture}\n'
list='
import sys
try:
    from importlib.metadata import distributions
    found = [(one.metadata["Name"], one.version) for one in distributions()]
except ImportError:
    import pkg_resources
    found = [(one.project_name, one.version) for one in pkg_resources.working_set]
for name, version in sorted(set(found)):
    print("\t".join(("pypi", name, version, sys.prefix)))
'
/opt/lastwords/bin/python -c "$list"
python -c "$list"
