#!/bin/sh
# base_image.sh SUITE: the image lastwords-base:SUITE, made by debootstrap out of Debian's signed archive, for machines
# that reach no registry. What a slim image leaves out (manuals, translations) is left out here too.
# DEBIAN_MIRROR names another mirror; in the image it is deb.debian.org all the same. DOCKER is the client.
set -eu

suite=$1
docker=${DOCKER:-docker}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
keys=/usr/share/keyrings/debian-archive-keyring.gpg
folder=$(mktemp -d)
trap 'rm -rf --one-file-system "$folder"' EXIT
root=$folder/root
log=$folder/log

fail() {
    echo "make base-image: $1" >&2
    exit 1
}

# Suites that this debootstrap does not know yet are made as Debian's unstable is.
script_of() {
    [ -e "/usr/share/debootstrap/scripts/$1" ] || echo /usr/share/debootstrap/scripts/sid
}

write_sources() {
    rm -f "$root/etc/apt/sources.list"
    write_source() {
        printf 'Types: deb\nURIs: http://deb.debian.org/%s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n' "$1" "$2" "$keys"
    }
    {
        write_source debian "$suite"
        case $suite in forky | sid) ;; *) write_source debian-security "$suite-security" ;; esac
    } >"$root/etc/apt/sources.list.d/debian.sources"
}

# What packages that are installed later leave out as well.
write_rules() {
    cat >"$root/etc/dpkg/dpkg.cfg.d/slim" <<'RULES'
force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
RULES
    cat >"$root/etc/apt/apt.conf.d/slim" <<'RULES'
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
RULES
}

trim() {
    find "$root/usr/share/doc" -type f ! -name copyright -delete
    rm -rf "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/usr/share/man/* \
        "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/cache/debconf/*-old "$root"/var/log/*
}

[ "$(id -u)" = 0 ] || fail "debootstrap needs root, and this is user $(id -u). As root: make base-image"
command -v debootstrap >/dev/null || fail "there is no debootstrap. As root: apt-get install debootstrap"
# shellcheck disable=SC2046  # the script is one word, or none
debootstrap --variant=minbase --include=ca-certificates --keyring="$keys" "$suite" "$root" "$mirror" $(script_of "$suite") >"$log" 2>&1 || {
    tail -n 3 "$log" >&2
    fail "debootstrap could not make $suite from $mirror. Connect this machine to Debian's archive, or name a mirror: DEBIAN_MIRROR=http://... make base-image"
}
write_sources
write_rules
trim
tar -C "$root" --numeric-owner --one-file-system -c . |
    "$docker" import --change 'CMD ["bash"]' --message "debootstrap $suite" - "lastwords-base:$suite" >/dev/null
echo "made lastwords-base:$suite"
