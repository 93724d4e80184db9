"""Who holds a lock: by its owner, by the `with` block that a frame is inside of, by `acquire()` without `with`."""
