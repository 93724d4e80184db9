"""What the kernel knows of a waiting thread: its system call, descriptors and their other ends, children, sleeps."""
