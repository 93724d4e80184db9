#!/bin/sh
# The image's entry point: without arguments the investigation, a command of lastwords, or any other program.
[ $# -gt 0 ] || exec lastwords-investigate

case $1 in
-*) exec lastwords "$@" ;;
esac
grep -qxF -e "$1" /usr/share/lastwords/commands && exec lastwords "$@"
exec "$@"
