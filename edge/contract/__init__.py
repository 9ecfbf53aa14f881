"""The MQTT contract, version 1: what a station publishes, what it is told, and the documents of both.

fields.py          what fields can hold, and the model that all messages have in common
ids.py             UUIDs that sort by time
topics.py          the topics of a station
messages.py        verdict, defect, status
health.py          health and its parts
commands.py        the commands that a station takes, and their replies
command_guide.py   how to command a station by hand, for docs/mqtt
schema.py          all of it as JSON Schema, AsyncAPI and examples
"""
