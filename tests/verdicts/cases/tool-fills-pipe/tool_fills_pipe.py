"""wait() with stdout=PIPE, of a tool that is not Python."""
import subprocess

tool = subprocess.Popen(["head", "-c", "1000000", "/dev/zero"], stdout=subprocess.PIPE)
tool.wait()  # <-
