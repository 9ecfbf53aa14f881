"""TensorRT: engines built on the box and kept in a cache, with the work around the network on the GPU too."""
