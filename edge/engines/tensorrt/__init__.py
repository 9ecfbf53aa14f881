"""TensorRT: engines built on the box and kept in a cache, with the work around the network on the GPU too.

needs.py           what TensorRT needs on a box, for doctor
cached.py          an engine from the cache, or built now
cache.py           engines on disk, each under a key
builder.py         an ONNX becomes an engine
release.py         what differs from one TensorRT release to the next
float_weights.py   INT8 weights as releases before 10 read them
bindings.py        the part of the `tensorrt` package that is called, as types
network.py         the network alone, by its tensors
fused.py           the engine with all work on the GPU
slot.py            one frame or tile on its way through the GPU
device_head.py     what stands before and behind the network, on the GPU
engine.py          the engine with the work around the network on the processor
host_head.py       what stands before and behind the network, on the processor
"""
