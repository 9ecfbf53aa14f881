"""The MQTT contract, version 1: the messages that a station publishes, the commands that it obeys, their documents.

fields.py             types of the fields, and the base model of all messages
ids.py                UUIDs that sort by time
topics.py             the topics of a station
messages.py           verdict, defect, status, label
health.py             health and its parts
commands.py           the commands that a station obeys
replies.py            the reply to every command
reports.py            pages of a station's log and of its index of evidence
received_messages.py  reads messages of stations, which anybody may have written
command_mistakes.py   what is wrong with a command, in a sentence with its remedy
command_guide.py      how to send a command by hand, a section of docs/mqtt/README.md
examples.py           an example of every message
schema.py             writes the contract as JSON Schema, AsyncAPI and examples
"""
