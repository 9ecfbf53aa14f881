"""The webhook: a subscriber that posts verdicts or defects to web servers, from an outbox of its own.

webhook_command.py  `edge-inspect webhook`
service.py          starts and stops all of it
settings.py         its configuration
subscriber.py       its connection to the broker: stores messages in the outbox, then acknowledges them
body.py             the body of a request: the message itself, or a template that is filled in
signature.py        signs a request (Standard Webhooks)
post.py             one request, with a deadline, and what its answer means
sender.py           posts the messages of one target in order, again and again until they are delivered or refused
dead_letters.py     the file of the messages that a target has refused
"""
