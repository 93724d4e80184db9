"""C stacks: unwound, named, and merged with the Python frames that they ran."""
