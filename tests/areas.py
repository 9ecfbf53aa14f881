"""Areas for tests of what draws, reads and writes them."""

from __future__ import annotations

from edge_inspect.train.area_drawing import DrawnArea

PINS = DrawnArea(kind="look", name="pins", polygon=[[10, 20], [200, 20], [200, 90]])
LAMP = DrawnArea(kind="ignore", name="lamp", polygon=[[300, 10], [340, 10], [340, 40], [300, 40]])
