"""stdout's reader is gone before the last flush."""
import os
import sys

reader, writer = os.pipe()
os.dup2(writer, 1)
os.close(writer)
os.close(reader)
sys.stdout.write("the end")
