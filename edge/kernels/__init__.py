"""The GPU's own code, CUDA C++, and how its kernels are launched. Nothing here needs a GPU or a binding to one.

preprocess.py    launches of preprocess.cu
preprocess.cu    a frame to the network's input
discrepancy.py   launches of discrepancy.cu
discrepancy.cu   features or a map of low resolution to anomaly map, score and mask, by:
distance.cuh     cosine distances
head.cuh         upsampling, blur, score and mask
largest.cuh      the mean of the k largest values
numbers.cuh      numbers as the kernels read them
launch.py        which kernel, how many threads, which argument; how the code is compiled
cubin.py         machine code for one GPU, compiled once and kept
"""
