"""Sparkplug B 3.0: a station as a Sparkplug edge node, for SCADA systems; docs/sparkplug.md says how it maps."""
