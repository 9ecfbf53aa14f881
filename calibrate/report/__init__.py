"""The report of a bundle on how it was made.

report.py    the figures, and the page with them
parts.py     charts, rows and pictures of the page
slider.py    the threshold that can be moved by hand
"""
