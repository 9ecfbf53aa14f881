"""Sparkplug B 3.0: a station as a Sparkplug edge node, for SCADA systems; docs/sparkplug.md says how it maps.

metrics.py   the contract's messages as metrics
payload.py   metrics to bytes and back
node.py      an edge node: topics, numbers, birth, data and death
session.py   one connection
"""
