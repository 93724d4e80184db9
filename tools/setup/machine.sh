#!/bin/sh
# Installs the distribution's packages that are missing: machine.sh gdb compiler venv ...
# Asks nothing of a machine that has them. Nothing else on the machine outside the checkout is touched.
set -eu

cd "$(dirname "$0")/../.."
log=.cache/setup.log

is_there() {
    case $1 in
    gdb | make | shellcheck | debootstrap) command -v "$1" ;;
    compiler) command -v cc || command -v gcc ;;
    venv) sh tools/setup/python.sh && "$(sh tools/setup/python.sh)" -c 'import ensurepip, venv' ;;
    docker) command -v dockerd || docker version ;;
    compose) docker compose version || command -v docker-compose ;;
    debian-keys) [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || ! command -v apt-get ;;
    *) echo "machine.sh knows no '$1'" >&2 && exit 2 ;;
    esac >/dev/null 2>&1
}

# The package that brings $2, for the package manager $1.
package_of() {
    case $1-$2 in
    apt-get-compiler) echo gcc libc6-dev ;;
    apt-get-docker) echo docker.io ;;
    *-compose) echo docker-compose ;;
    apt-get-venv) echo python3-venv ;;
    apt-get-debian-keys) echo debian-archive-keyring ;;
    dnf-compiler) echo gcc glibc-devel ;;
    dnf-venv) echo python3 ;;
    dnf-shellcheck) echo ShellCheck ;;
    apk-compiler) echo gcc musl-dev ;;
    apk-venv) echo python3 py3-pip ;;
    *) echo "$2" ;;
    esac
}

find_manager() {
    for manager in apt-get dnf apk; do
        if command -v $manager >/dev/null; then
            echo $manager
            return
        fi
    done
}

# How to become root without a question that nobody answers; nothing where there is no way.
find_root() {
    if [ "$(id -u)" = 0 ]; then
        echo env
    elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        echo sudo env
    fi
}

# shellcheck disable=SC2086  # $packages and $root are several words
install_packages() {
    case $manager in
    apt-get)
        $root DEBIAN_FRONTEND=noninteractive apt-get -q update &&
            $root DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $packages
        ;;
    dnf) $root dnf -q install -y $packages ;;
    apk) $root apk add $packages ;;
    esac
}

missing=
for thing; do
    is_there "$thing" || missing="$missing $thing"
done
[ -n "$missing" ] || exit 0

manager=$(find_manager)
if [ -z "$manager" ]; then
    echo "missing:$missing. There is no apt-get, dnf or apk here to install them: install them, then run make again." >&2
    exit 1
fi
packages=$(for thing in $missing; do package_of "$manager" "$thing"; done | tr '\n' ' ')
case $manager in apk) verb=add ;; *) verb=install ;; esac
root=$(find_root)
if [ -z "$root" ]; then
    echo "missing:$missing, and this user may not install packages. As root: $manager $verb $packages" >&2
    exit 1
fi
mkdir -p .cache
echo "installing with $manager: $packages"
if ! install_packages >"$log" 2>&1; then
    echo "$manager could not install: $packages" >&2
    (grep -E '^(E|ERROR|Error):' "$log" || tail -n 3 "$log") | head -n 3 >&2
    echo "Is the machine connected? Try it by hand: $manager $verb $packages   (all it said: $log)" >&2
    exit 1
fi
for thing in $missing; do
    is_there "$thing" || { echo "$manager installed $packages, but $thing is still not there" >&2 && exit 1; }
done
