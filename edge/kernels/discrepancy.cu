// The steps after the network on the GPU: they turn features, or a low-resolution map, into anomaly map, score and
// mask.
//
//   system  output of the network              kernels
//   rd      teacher's and student's features   distance_*, head
//   aand    teacher's and student's features   distance_*, head
//   dmdd    a low-resolution map               arrange_*, head
//
// AAND's gate and amplification come before the student's bottleneck, so they stay in the network, where TensorRT fuses
// them. Kernels here would have to read the features of teacher and generator and the gates again.
//
// The argument of every kernel is one structure, passed by value; edge/kernels/discrepancy.py fills it in. The
// reference is models/discrepancy.py.
#include "distance.cuh"
#include "head.cuh"

struct Arrange {
    const void* from;  // (images, height, width)
    float* to;         // (frames, rows * height, columns * width)
    int height, width;
    int columns;       // number of columns in the grid of tiles
};

// Copies the maps of tiles into one map of the frame, in float32. It moves 6 or 8 bytes per value.
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
