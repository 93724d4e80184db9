#!/bin/sh
# fetch_source.sh X.Y FOLDER: CPython's source into /usr/src/python-X.Y.Z, as sources.txt in FOLDER vouches for it:
# from FOLDER itself, from python.org, or from Debian's archive.
set -eu

minor=$1
folder=$2
sources=$folder/sources.txt
file=/tmp/python.tar

row=$(grep "^$minor\." "$sources") || {
    echo "CPython $minor is not offered; these are: $(sed -n 's/^\([0-9]*\.[0-9]*\)\..*/\1/p' "$sources" | tr '\n' ' ')" >&2
    exit 1
}
# shellcheck disable=SC2086  # four words
set -- $row
version=$1 checksum=$2 name=$3 in_debian=$4

# The checksum decides, so a file that came by plain HTTP will do.
is_right() {
    echo "$checksum  $file" | sha256sum --check --status
}

fetch() {
    curl --fail --silent --show-error --location --connect-timeout 20 --retry 2 --output "$file" "$1" && is_right && echo "from $1"
}

take() {
    [ -e "$folder/$name" ] && cp "$folder/$name" "$file" && is_right && echo "from the build context: $name"
}

take || fetch "https://www.python.org/ftp/python/$version/$name" ||
    fetch "http://deb.debian.org/debian/pool/main/$in_debian" || {
    echo "CPython $version: neither python.org nor Debian's archive gave a file with SHA-256 $checksum." >&2
    echo "Put it into docker/sources/$name and build again." >&2
    exit 1
}
mkdir -p "/usr/src/python-$version"
tar -C "/usr/src/python-$version" --strip-components=1 -xf "$file"
rm "$file"
printf 'CPython\tpython\t%s\tsha256:%s\n' "$version" "$checksum" >/usr/src/source.tsv
