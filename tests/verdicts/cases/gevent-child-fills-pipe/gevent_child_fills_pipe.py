"""wait() with stdout=PIPE."""
from gevent import monkey

monkey.patch_all()

import subprocess
import sys

child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdout.write('x' * 1000000)"], stdout=subprocess.PIPE)
child.wait()  # <-
