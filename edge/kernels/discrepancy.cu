// What follows the network on the GPU: features or a low-resolution map to anomaly map, score and mask.
//
//   rd    teacher's and student's features   distance_*, head
//   aand  the same: gate and amplification come before the student's bottleneck and so stay in the network, where
//         TensorRT fuses them; doing them here would read the teacher's features, the generator's and the gates again
//   dmdd  a low-resolution map               arrange_*, head
//
// Every kernel takes one structure by value; edge/kernels/discrepancy.py fills them in. Reference: models/discrepancy.py.
#include "distance.cuh"
#include "head.cuh"

struct Arrange {
    const void* from;  // (images, height, width)
    float* to;         // (frames, rows height, columns width)
    int height, width;
    int columns;       // of the grid of tiles
};

// Maps of tiles to one of the frame, in float32. 6 or 8 bytes a value.
template <typename T>
__device__ __forceinline__ void arrange(const Arrange& p) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= p.height * p.width) return;
    const int y = i / p.width, x = i - y * p.width;
    const int row = blockIdx.y / p.columns, column = blockIdx.y - row * p.columns;
    const T* from = static_cast<const T*>(p.from) + static_cast<size_t>(blockIdx.y) * p.height * p.width;
    p.to[((static_cast<size_t>(row) * p.height + y) * p.columns + column) * p.width + x] = as_float(from[i]);
}

extern "C" {

__global__ void __launch_bounds__(THREADS) distance_nchw_float32(const __grid_constant__ Distance p) {
    distance<float, false, 4>(p);
}

__global__ void __launch_bounds__(THREADS) distance_nchw_float16(const __grid_constant__ Distance p) {
    distance<__half, false, 4>(p);
}

__global__ void __launch_bounds__(THREADS) distance_nchw_float16_narrow(const __grid_constant__ Distance p) {
    distance<__half, false, 2>(p);
}

__global__ void __launch_bounds__(THREADS) distance_nhwc_float32(const __grid_constant__ Distance p) {
    distance<float, true, 4>(p);
}

__global__ void __launch_bounds__(THREADS) distance_nhwc_float16(const __grid_constant__ Distance p) {
    distance<__half, true, 4>(p);
}

__global__ void __launch_bounds__(THREADS) arrange_float32(const __grid_constant__ Arrange p) { arrange<float>(p); }

__global__ void __launch_bounds__(THREADS) arrange_float16(const __grid_constant__ Arrange p) { arrange<__half>(p); }

__global__ void __launch_bounds__(ACROSS) head(const __grid_constant__ Head p) {
    extern __shared__ float4 tall[];
    make_map(p, tall);
}
}
