#!/bin/sh
# timed.sh NAME COMMAND ARGS...: runs the command, then prints how long it took; its exit code is the command's.
name=$1
shift
started=$(date +%s)
"$@"
code=$?
echo "[$name: $(($(date +%s) - started)) s, exit code $code]"
exit $code
