"""One moment of a process or a core file, read whole: the report of `attach` and `core`.

capture/ brings memory and threads, cpython/ reads them; here they become the entities of one report.
"""

from lastwords.examine.process import attach_process
from lastwords.examine.read import Options

__all__ = ["Options", "attach_process"]
