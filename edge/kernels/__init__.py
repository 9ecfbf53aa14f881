"""CUDA C++ code for the GPU, and the launches of its kernels. Nothing here needs a GPU or a Python binding to one.

preprocess.py    the launches of preprocess.cu
preprocess.cu    turns a frame into the network's input
discrepancy.py   the launches of discrepancy.cu
discrepancy.cu   turns features, or a low-resolution map, into anomaly map, score and mask, with these parts:
distance.cuh     cosine distances
head.cuh         upsampling, blur, score and mask
largest.cuh      the k-th largest value, exactly
numbers.cuh      helpers to load, convert and order numbers
launch.py        one launch: kernel, threads and argument; options of the compiler
cubin.py         machine code for one GPU, compiled once and kept on disk
"""
