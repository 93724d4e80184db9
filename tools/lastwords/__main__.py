"""`python -m lastwords`: the same as the command `lastwords`."""

import sys

from lastwords.cli import main

sys.exit(main())
