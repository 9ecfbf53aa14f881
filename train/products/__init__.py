"""Many products on a Ray cluster: `edge-train products`.

command.py           the options of the command, and what it runs
product_file.py      the products in its YAML file
command_lines.py     the command lines of their steps, checked before anything starts
storage.py           data and results in a shared folder or behind a URL
record.py            what was made of which data, so that it is not made again
cluster.py           the tasks on the cluster
product_task.py      the task of one product, step by step
machine_folder.py    the folders of a task on its machine
child_run.py         runs a step in a child process
judgement.py         test pictures, judged by the bundle as a station would
board.py             where tasks say how far they are
product_row.py       one product in the tables
live_table.py        the table in the terminal
products_page.py     the page products.html
"""
