// The low-resolution stage: 1 - cos(teacher, student) over channels, for all scales and images in one launch.
//
// A block of 256 threads takes a tile of pixels of one scale of one image, all its channels:
//   NCHW  8 lanes hold 8 x 16 bytes of neighbouring pixels (128 bytes of a channel's row), 32 groups of lanes share
//         the channels; sums meet by shuffles, then in shared memory. 32 (FP32) or 64 (FP16) pixels a tile.
//   NHWC  8 lanes hold 8 x 16 bytes of a pixel's channels; 32 pixels a tile; sums meet by shuffles alone.
// Each thread issues DEPTH loads of 16 bytes of each side before it needs the first, 4 where there are channels for them.
// The largest map of ResNet-18 has 64, 2 for each group. In FP16, where the sums of 8 pixels take registers, *_narrow
// issues 2, and the registers it saves bring a fourth block onto a multiprocessor: on an H200 at batch 32 the stage takes
// 21.1 us in place of 24.6 (256x256), and 68.4 in place of 86.1 (512x512). The host orders scales by channels, the
// longest blocks first, so that the last to run are short.
//
// Bytes, of N images: sum_k N H_k W_k (2 C_k sizeof(T) + 4); each is moved once. Operations: 3 multiply-adds a pair
// of values, 0.75 FLOP a byte in FP32, 1.5 in FP16, where an H200 has 14 and an AGX Orin 26 to spend: bytes decide.
// Of ResNet-18 at 256x256 the floor is 3.7 MB an image in FP32, 1.9 MB in FP16: 0.86 and 0.43 us at the 4.3 TB/s a
// copy reaches on an H200, 18 and 9 us at an AGX Orin's 204.8 GB/s; of WideResNet-50-2 four times as much.
#pragma once

#include "numbers.cuh"

constexpr int THREADS = 256;
constexpr int LANES = 8;               // that share 128 bytes
constexpr int GROUPS = THREADS / LANES;
constexpr int NHWC_TILE = GROUPS;      // pixels
constexpr float EPSILON = 1e-8f;       // of models/discrepancy.py

struct Scale {
    const void* teacher;  // (images, channels, height, width), or (images, height, width, channels)
    const void* student;
    float* map;           // (frames, rows height, columns width): the images of a frame are its tiles, laid out
    int channels, height, width;
    int first;            // blockIdx.x of its first tile
};

struct Distance {
    Scale scales[SCALES];
    int count;
    int columns;          // of the grid of tiles; 1 where an image is a frame
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

    // Vectors that are not finite, or too long for float32, have no cosine; dividing by infinity would hide them.
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

// `width` values at `from` + i `step`, those before `end`; aligned ones lie side by side in 16 bytes, all or none inside.
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
    // A thread's pixels: neighbours where 16 bytes are loaded at once, else every eighth, so that lanes are neighbours.
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

// Vectors of 16 bytes are loaded where every row of them starts at a multiple of 16 bytes: TensorRT's outputs do.
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
