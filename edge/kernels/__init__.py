"""The GPU's own code, CUDA C++, and how its kernels are launched. Nothing here needs a GPU or a binding to one.

    preprocess.cu    a frame to the network's input            preprocess.py
    discrepancy.cu   what follows the network to map and score discrepancy.py

`launch.py` says what both have in common, and how the sources are compiled; `cubin.py` compiles them.
"""
