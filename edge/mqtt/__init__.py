"""The way to the broker: connection, session, publisher."""
