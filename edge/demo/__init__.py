"""The demo: a rendered production line, so that the whole chain can be watched without a download."""
