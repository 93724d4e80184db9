"""The tool has got its line, and goes on to wait for more; the program waits for the end of what it says."""
import subprocess

tool = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
tool.stdin.write(b"a line\n")
tool.stdin.flush()
tool.stdout.read()  # <-
