"""What a module made is kept until the very end, when the module has been taken apart."""

import sys

import makes_files

sys.kept = makes_files.Scratch("/nonexistent/scratch")
