// The first stage: 1 - cos(teacher, student) over channels at low resolution, for all scales and images in one launch.
//
// A block of 256 threads computes a tile of pixels of one scale of one image, over all channels:
//   NCHW  8 lanes hold 8 x 16 bytes of neighbouring pixels (128 bytes of a channel's row), and 32 groups of lanes share
//         the channels. Sums are combined by shuffles, then in shared memory. A tile has 32 (FP32) or 64 (FP16) pixels.
//   NHWC  8 lanes hold 8 x 16 bytes of a pixel's channels. A tile has 32 pixels, and shuffles combine the sums.
// Each thread issues DEPTH loads of 16 bytes of each side before it needs the first. DEPTH is 4 if there are enough
// channels. The largest map of ResNet-18 has 64 channels, which are 2 loads for each group. In FP16 the sums of 8
// pixels take many registers. So *_narrow issues only 2 loads, and the registers that it saves make room for a fourth
// block on a multiprocessor: on an H200 at batch 32 the stage takes 21.1 us instead of 24.6 (256x256), and 68.4 instead
// of 86.1 (512x512). The host orders scales by channels, so that the longest blocks run first and the last ones are
// short.
//
// Bytes for N images: sum_k N H_k W_k (2 C_k sizeof(T) + 4); each is moved once. Operations: 3 multiply-adds per pair
// of values, which are 0.75 FLOP per byte in FP32 and 1.5 in FP16. An H200 can do 14 and an AGX Orin 26 per byte, so
// memory is the limit. With ResNet-18 at 256x256 at least 3.7 MB per image are moved in FP32 and 1.9 MB in FP16. They
// take 0.86 and 0.43 us at the 4.3 TB/s that a copy reaches on an H200, and 18 and 9 us at an AGX Orin's 204.8 GB/s.
// With WideResNet-50-2 it is four times as much.
#pragma once

#include "numbers.cuh"

constexpr int THREADS = 256;
constexpr int LANES = 8;               // lanes that share 128 bytes
constexpr int GROUPS = THREADS / LANES;
constexpr int NHWC_TILE = GROUPS;      // pixels
constexpr float EPSILON = 1e-8f;       // as in models/discrepancy.py

struct Scale {
    const void* teacher;  // (images, channels, height, width), or (images, height, width, channels)
    const void* student;
    float* map;           // (frames, rows * height, columns * width): the images of a frame are its tiles, side by side
    int channels, height, width;
    int first;            // blockIdx.x of its first tile
};

struct Distance {
    Scale scales[SCALES];
    int count;
    int columns;          // number of columns in the grid of tiles; 1 if each image is a whole frame
};

struct Sums {
    float teacher, student, both;

    __device__ __forceinline__ void add(float t, float s) {
        teacher = fmaf(t, t, teacher);
        student = fmaf(s, s, student);
        both = fmaf(t, s, both);
    }

    __device__ __forceinline__ void add(const Sums& other) {
        teacher += other.teacher;
        student += other.student;
        both += other.both;
    }

    __device__ __forceinline__ void add_lane(int distance) {
        teacher += __shfl_xor_sync(WARP, teacher, distance);
        student += __shfl_xor_sync(WARP, student, distance);
        both += __shfl_xor_sync(WARP, both, distance);
    }

    // A vector that is not finite, or whose length exceeds float32, has no cosine. Division by infinity would hide it.
    __device__ __forceinline__ float distance() const {
        if (!isfinite(teacher) || !isfinite(student)) return not_a_number();
        return 1.0f - both / (fmaxf(sqrtf(teacher), EPSILON) * fmaxf(sqrtf(student), EPSILON));
    }
};

__device__ __forceinline__ void write_distance(const Distance& p, const Scale& scale, int pixel, const Sums& sums) {
    const int y = pixel / scale.width, x = pixel - y * scale.width;
    const int row = blockIdx.y / p.columns, column = blockIdx.y - row * p.columns;
    const size_t line = static_cast<size_t>(row) * scale.height + y;
    scale.map[(line * p.columns + column) * scale.width + x] = sums.distance();
}

// Reads `width` values from `first` on, `step` apart, as far as they lie before `end`. Aligned values lie side by side
// in 16 bytes, and either all of them or none lie before `end`.
template <typename T, bool ALIGNED>
__device__ __forceinline__ Pack<T> read(const T* from, int first, int step, int end) {
    Pack<T> pack{};
    if constexpr (ALIGNED) {
        if (first < end) pack = load_pack(from + first);
    } else {
#pragma unroll
        for (int i = 0; i < Pack<T>::width; ++i)
            if (first + i * step < end) pack.value[i] = from[first + i * step];
    }
    return pack;
}

template <typename T, bool ALIGNED, int DEPTH>
__device__ __forceinline__ void distance_nchw(const Distance& p, const Scale& scale, int tile, Sums* parts) {
    constexpr int WIDTH = Pack<T>::width;
    constexpr int TILE = LANES * WIDTH;
    const int lane = threadIdx.x % LANES, group = threadIdx.x / LANES, warp = threadIdx.x / 32;
    const int pixels = scale.height * scale.width;
    // The pixels of a thread are neighbours if 16 bytes are loaded at once. Otherwise they are 8 apart, so that the
    // lanes read neighbours.
    const int step = ALIGNED ? 1 : LANES;
    const int first = tile * TILE + (ALIGNED ? lane * WIDTH : lane);
    const size_t image = static_cast<size_t>(blockIdx.y) * scale.channels * pixels;
    const T* teacher = static_cast<const T*>(scale.teacher) + image;
    const T* student = static_cast<const T*>(scale.student) + image;
    Sums sums[WIDTH] = {};
    for (int channel = group; channel < scale.channels; channel += DEPTH * GROUPS) {
        Pack<T> t[DEPTH], s[DEPTH];
#pragma unroll
        for (int i = 0; i < DEPTH; ++i) {
            const int c = channel + i * GROUPS;
            const int end = c < scale.channels ? pixels : 0;
            t[i] = read<T, ALIGNED>(teacher + static_cast<size_t>(c) * pixels, first, step, end);
            s[i] = read<T, ALIGNED>(student + static_cast<size_t>(c) * pixels, first, step, end);
        }
#pragma unroll
        for (int i = 0; i < DEPTH; ++i)
#pragma unroll
            for (int j = 0; j < WIDTH; ++j) sums[j].add(as_float(t[i].value[j]), as_float(s[i].value[j]));
    }
#pragma unroll
    for (int j = 0; j < WIDTH; ++j) {
        sums[j].add_lane(LANES);
        sums[j].add_lane(2 * LANES);
        if (threadIdx.x % 32 < LANES) parts[warp * TILE + lane * WIDTH + j] = sums[j];
    }
    __syncthreads();
    if (threadIdx.x >= TILE) return;
    const int place = threadIdx.x;
    const int pixel = tile * TILE + (ALIGNED ? place : place / WIDTH + LANES * (place % WIDTH));
    if (pixel >= pixels) return;
    Sums whole = parts[place];
#pragma unroll
    for (int i = 1; i < THREADS / 32; ++i) whole.add(parts[i * TILE + place]);
    write_distance(p, scale, pixel, whole);
}

template <typename T, bool ALIGNED, int DEPTH>
__device__ __forceinline__ void distance_nhwc(const Distance& p, const Scale& scale, int tile) {
    constexpr int WIDTH = Pack<T>::width;
    const int lane = threadIdx.x % LANES, pixel = tile * NHWC_TILE + threadIdx.x / LANES;
    const int pixels = scale.height * scale.width;
    const int step = ALIGNED ? 1 : LANES;
    const size_t start = (static_cast<size_t>(blockIdx.y) * pixels + pixel) * scale.channels;
    const T* teacher = static_cast<const T*>(scale.teacher) + start;
    const T* student = static_cast<const T*>(scale.student) + start;
    const int end = pixel < pixels ? scale.channels : 0;
    Sums sums{};
    for (int channel = ALIGNED ? lane * WIDTH : lane; channel < end; channel += DEPTH * LANES * WIDTH) {
        Pack<T> t[DEPTH], s[DEPTH];
#pragma unroll
        for (int i = 0; i < DEPTH; ++i) {
            t[i] = read<T, ALIGNED>(teacher, channel + i * LANES * WIDTH, step, end);
            s[i] = read<T, ALIGNED>(student, channel + i * LANES * WIDTH, step, end);
        }
#pragma unroll
        for (int i = 0; i < DEPTH; ++i)
#pragma unroll
            for (int j = 0; j < WIDTH; ++j) sums.add(as_float(t[i].value[j]), as_float(s[i].value[j]));
    }
    sums.add_lane(1);
    sums.add_lane(2);
    sums.add_lane(4);
    if (lane == 0 && pixel < pixels) write_distance(p, scale, pixel, sums);
}

// Loads vectors of 16 bytes if every row starts at a multiple of 16 bytes, as it does in TensorRT's outputs.
template <typename T, bool NHWC, int DEPTH>
__device__ __forceinline__ void distance(const Distance& p) {
    int k = p.count - 1;
    while (static_cast<int>(blockIdx.x) < p.scales[k].first) --k;
    const Scale& scale = p.scales[k];
    const int tile = blockIdx.x - scale.first;
    const size_t row = sizeof(T) * (NHWC ? scale.channels : scale.height * scale.width);
    const size_t starts = reinterpret_cast<size_t>(scale.teacher) | reinterpret_cast<size_t>(scale.student);
    const bool aligned = (row | starts) % 16 == 0;
    if constexpr (NHWC) {
        aligned ? distance_nhwc<T, true, DEPTH>(p, scale, tile) : distance_nhwc<T, false, DEPTH>(p, scale, tile);
    } else {
        __shared__ Sums parts[THREADS / 32 * LANES * Pack<T>::width];
        aligned ? distance_nchw<T, true, DEPTH>(p, scale, tile, parts)
                : distance_nchw<T, false, DEPTH>(p, scale, tile, parts);
    }
}
