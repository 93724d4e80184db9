#!/bin/sh
# build_python.sh X.Y: CPython out of /usr/src/python-X.Y.Z into /opt/python/X.Y, for people who read its C frames:
# no optimisation, all debug information (macros too), every frame with its frame pointer; else as a release is built,
# so that wheels load and structs are those of any other build.
set -eu

minor=$1
prefix=/opt/python/$minor
python=$prefix/bin/python$minor
# OPT, not CFLAGS: what stands in CFLAGS comes before 2.7's own -O3
flags='-DNDEBUG -fwrapv -Wall -O0 -g3 -fno-omit-frame-pointer'

case $minor in
2.7) options=--enable-unicode=ucs4 ;;
*) options=--disable-test-modules ;;
esac

cd "/usr/src/python-$minor."*
./configure --quiet --prefix="$prefix" --with-ensurepip=install "$options" OPT="$flags"
make --silent --jobs="$(nproc)"
make --silent install

readelf --debug-dump=info --dwarf-depth=1 "$python" | grep DW_AT_producer | grep -qe '-O0' || {
    echo "$python was not compiled with -O0" >&2
    exit 1
}
for name in python pip; do
    [ -e "$prefix/bin/$name" ] || ln -s "$name$minor" "$prefix/bin/$name"
done

# gdb loads py-bt by itself from here; this path is one that it trusts
mkdir -p "/gdb$prefix/bin"
cp Tools/gdb/libpython.py "/gdb$python-gdb.py"

find "$prefix" -name 'libpython*.a' -delete
rm -rf "$prefix/lib/python$minor/test" "$prefix"/lib/python*/*/test "$prefix/lib/python$minor/idlelib/idle_test"
# gdb's `list` shows these; the rest of the tree has no lines of C
find . -type f ! -name '*.c' ! -name '*.h' -delete
find . -type d -empty -delete
