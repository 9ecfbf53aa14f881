"""From a checkpoint to a bundle: export, INT8, thresholds, verification: the command `calibrate`."""
