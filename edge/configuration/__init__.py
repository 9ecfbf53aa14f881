"""The configuration: a YAML file becomes checked settings.

yaml_file.py       the one reader of YAML
host.py            hosts as a configuration names them
section.py         what all parts of a configuration have in common
mqtt_settings.py   the section mqtt: the broker, and how messages are encoded
settings.py        all other sections, and the whole
file.py            a file becomes settings, with every mistake in one message
"""
