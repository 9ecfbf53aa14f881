"""The configuration: a YAML file becomes checked settings.

yaml_file.py         the one reader of YAML
host.py              checks the name or address of a host
section.py           the base of all sections: rules that every key obeys
mqtt_settings.py     the section mqtt: the broker, and how messages are encoded
outbox_settings.py   the section outbox: where messages wait for the broker
picture_settings.py  the setting pictures of a station
pull_settings.py     the setting bundles.pull: web servers from which bundles are fetched
recipe_settings.py   the setting recipes of a station: products and their bundles
station_settings.py  a station: its camera, bundle and trigger
station_patterns.py  the setting stations of programs that follow many stations
settings.py          all other sections, and the whole configuration
file.py              reads a file into settings, and lists all of its mistakes in one message
"""
