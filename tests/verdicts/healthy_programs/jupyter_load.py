"""Asks a Jupyter kernel to compute, on and on: python jupyter_load.py CONNECTION_FILE."""

import sys

from jupyter_client import BlockingKernelClient

client = BlockingKernelClient(connection_file=sys.argv[1])
client.load_connection_file()
client.start_channels()
client.wait_for_ready(timeout=30)
while True:
    client.execute_interactive("import time; time.sleep(0.01); print(sum(range(100000)))", timeout=30)
