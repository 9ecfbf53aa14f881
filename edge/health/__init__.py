"""Health: whether each stage gets on, whether the pictures and scores are as at calibration, and how the box is."""
