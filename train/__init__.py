"""Data sets, training loop, metrics and report: the command `edge-train`."""
