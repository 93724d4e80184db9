"""What `doctor` looks at: rights, namespaces, containers, where cores go, debug symbols. Facts only, from /proc."""
