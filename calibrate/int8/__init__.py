"""INT8: how a float32 network becomes one, and which form of it suits this box.

quantize.py       INT8 by QuantizeLinear and DequantizeLinear
activations.py    the values that flow through a network
clipping.py       the largest value that INT8 represents
trials.py         forms of INT8, tried on this box
sensitivity.py    the layers that INT8 harms, and which to leave in float
"""
