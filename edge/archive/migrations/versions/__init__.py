"""The migrations, oldest first. A migration that was released is never changed.

v0001_first_tables.py  all tables as of the first release
"""
