"""The joiner: a subscriber that makes one verdict of the verdicts of several stations that see the same part.

It publishes the joint verdicts as a station of its own, from an outbox of its own.

views_command.py  `edge-inspect views`
service.py        starts and stops all of it
settings.py       its configuration
subscriber.py     its connection to the broker, over which it hears the views
joined_line.py    takes messages and publishes verdicts, in steps that survive a kill
view.py           one view: its messages in order, without repeats, and its requests for missing ones
joiner.py         which views belong to one part, in which order parts are decided, and when a view is too late
part.py           a part, with what its views have said
matching.py       finds the parts that a view may belong to: by part id, or by the time of its trigger
clock_check.py    notices that the clock of a view's box was set forward
rule.py           the rule that makes one verdict of several
joint.py          the joint verdict and its defect
store.py          the SQLite file that keeps all of it over restarts
station.py        the joiner as a station: status, health, and answers to commands
"""
