"""Sparkplug B 3.0: a station as a Sparkplug edge node, for SCADA systems; docs/sparkplug.md describes the mapping.

metrics.py   converts the contract's messages to metrics
payload.py   encodes and decodes metrics
node.py      an edge node: topics, sequence numbers, birth, data and death
session.py   one connection
"""
