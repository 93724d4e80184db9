#!/bin/sh
# The investigation of this image, as `make trace` does it: on CPython 2.7 the original case, else that of today.
# Ends with 0 if lastwords found what there is to find.
cd /usr/share/lastwords || exit
case $(python -c 'import sys; print(sys.version_info[0])') in
2) program=original.py ;;
*) program=today.py ;;
esac
lastwords run --fail-on finding --text - -- python "$program"
code=$?
[ $code = 70 ] && exit 0
echo "the investigation of $program ended with $code, not with a finding (70)" >&2
[ $code = 0 ] && exit 1
exit $code
