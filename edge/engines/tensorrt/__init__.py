"""TensorRT: engines that are built on the box and kept in a cache; the steps around the network run on the GPU too.

needs.py           looks for what TensorRT needs on a box, for `doctor`
cached.py          takes an engine from the cache, or builds it now
cache.py           the engines on disk, each under a key
builder.py         builds an engine from an ONNX
release.py         the differences between TensorRT releases
float_weights.py   writes INT8 weights as releases before 10 read them
bindings.py        types of the part of the `tensorrt` package that is used
network.py         the network with its input and output tensors
fused.py           the engine that does all work on the GPU
slot.py            memory and CUDA graph for one frame or tile in flight
device_head.py     the steps before and after the network, on the GPU
engine.py          the engine that does the steps around the network on the processor
host_head.py       the steps before and after the network, on the processor
"""
