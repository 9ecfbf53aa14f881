"""The networks and their mathematics: torch and timm only; no files, no command line, no training loop."""
