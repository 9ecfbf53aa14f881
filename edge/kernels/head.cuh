// The second stage: it turns low-resolution maps into the anomaly map, its score and its mask, in one launch.
//
// Bilinear upsampling, the Gaussian and the merging of overlapping tiles are linear and separable. So together they are
// one banded matrix for each side (edge/kernels/discrepancy.py makes them; edge/discrepancy.py has the formula):
//     A = sum_k R_k d_k C_k^T
// A block of 128 threads computes 8 rows of 128 pixels. First it computes V_k = R_k d_k for the few low-resolution
// columns that it needs, 8 rows of each column, in shared memory. Then each thread computes a column of 8 pixels from
// V_k C_k^T.
//
// Operations, at 256x256 from maps of 64, 32 and 16: for the rows, 66 columns of 12, 7 or 5 weights with 8 rows each;
// then 1,024 pixels of 20 weights. These are 26 thousand multiply-adds per block and 1.6 million per image. Upsampling
// and a 33-tap blur would take 5 million, dense matrices 9 million. Bytes: the maps are read, 4 bytes per value, and 5
// bytes are written per pixel. These are 0.35 MB per image: 0.08 us at an H200's 4.3 TB/s and 1.7 us at an AGX Orin's
// 204.8 GB/s. At batch 1 latency is the limit: two waits for memory, one barrier, and one wait for the score.
//
// The score is the mean of the `top` largest pixels that count: inside `valid`, with a weight above 0. Every warp writes
// the largest value of its 32x8 patch (its peak). The last block of a frame to finish combines the peaks. For `top` > 1
// it only searches patches that can hold one of the `top` largest pixels: those whose peak is not below the `top`-th
// largest peak.
//
// A value that is not finite makes the score NaN, wherever it lies. The host refuses such a frame.
#pragma once

#include "largest.cuh"

constexpr int STRIP = 8;     // rows that a block computes
constexpr int ACROSS = 128;  // columns that a block computes, and its threads
constexpr int WARPS = ACROSS / 32;

struct Layer {
    const float* map;         // (frames, height, width)
    const float* rows;        // (strips, depth, 8): weights of 8 output rows in each strip
    const int* rows_from;     // (strips): first low-resolution row of each strip
    const float* columns;     // (taps, canvas width): weights of each output column
    const int* columns_from;  // (canvas width): first low-resolution column of each output column
    int height, width;
    int depth, taps;
    int span;                 // largest number of low-resolution columns that a block needs
};

struct Head {
    Layer layers[SCALES];
    float* map;               // (frames, height, width)
    unsigned char* mask;      // (frames, height, width): 1 where the map is above the threshold and counts
    float* score;             // (frames)
    unsigned* peaks;          // (frames, gridDim.y, gridDim.x, 4): keys of the peaks (numbers.cuh)
    unsigned* done;           // (frames): number of blocks that have finished; 0 before and after the launch
    const float* weights;     // (height, width): factors of the map, 0 where it is not looked at; null: 1 everywhere
    int count;
    int height, width;        // of the canvas
    int x0, y0, x1, y1;       // `valid`, the area that shows the frame
    int top;
    float threshold;
};

// Computes the row sums: 8 rows of every low-resolution column that the block needs, layer after layer, as (columns, 2)
// vectors of 4 rows.
__device__ __forceinline__ void rows_of(const Head& p, float4* tall) {
    int begin = 0;
    for (int k = 0; k < p.count; ++k) {
        const Layer& layer = p.layers[k];
        const int left = __ldg(layer.columns_from + blockIdx.x * ACROSS);
        const int top = __ldg(layer.rows_from + blockIdx.y);
        const float4* weights = reinterpret_cast<const float4*>(layer.rows) + 2 * layer.depth * blockIdx.y;
        // Each layer starts at the thread after the previous layer's last one, so that all fit into one round of
        // threads.
        for (int i = (threadIdx.x + ACROSS - begin % ACROSS) % ACROSS; i < layer.span; i += ACROSS) {
            if (left + i >= layer.width) break;
            const float* from = layer.map + (static_cast<size_t>(blockIdx.z) * layer.height + top) * layer.width + left + i;
            float4 upper{}, lower{};
#pragma unroll 4
            for (int j = 0; j < layer.depth; ++j) {
                const float value = __ldg(from + j * layer.width);
                const float4 a = __ldg(weights + 2 * j), b = __ldg(weights + 2 * j + 1);
                upper.x = fmaf(a.x, value, upper.x), upper.y = fmaf(a.y, value, upper.y);
                upper.z = fmaf(a.z, value, upper.z), upper.w = fmaf(a.w, value, upper.w);
                lower.x = fmaf(b.x, value, lower.x), lower.y = fmaf(b.y, value, lower.y);
                lower.z = fmaf(b.z, value, lower.z), lower.w = fmaf(b.w, value, lower.w);
            }
            tall[2 * (begin + i)] = upper;
            tall[2 * (begin + i) + 1] = lower;
        }
        begin += layer.span;
    }
}

// Computes the column sums: the 8 pixels of column `x`.
__device__ __forceinline__ void pixels_of(const Head& p, const float4* tall, int x, float (&pixels)[STRIP]) {
    for (int k = 0; k < p.count; ++k) {
        const Layer& layer = p.layers[k];
        const int left = __ldg(layer.columns_from + blockIdx.x * ACROSS);
        const float4* from = tall + 2 * (__ldg(layer.columns_from + x) - left);
#pragma unroll 4
        for (int i = 0; i < layer.taps; ++i) {
            const float weight = __ldg(layer.columns + static_cast<size_t>(i) * p.width + x);
            const float4 upper = from[2 * i], lower = from[2 * i + 1];
            pixels[0] = fmaf(weight, upper.x, pixels[0]), pixels[1] = fmaf(weight, upper.y, pixels[1]);
            pixels[2] = fmaf(weight, upper.z, pixels[2]), pixels[3] = fmaf(weight, upper.w, pixels[3]);
            pixels[4] = fmaf(weight, lower.x, pixels[4]), pixels[5] = fmaf(weight, lower.y, pixels[5]);
            pixels[6] = fmaf(weight, lower.z, pixels[6]), pixels[7] = fmaf(weight, lower.w, pixels[7]);
        }
        tall += 2 * layer.span;
    }
}

__device__ __forceinline__ float weight_at(const Head& p, int x, int y) {
    return p.weights == nullptr ? 1.0f : __ldg(p.weights + static_cast<size_t>(y) * p.width + x);
}

// Whether a pixel counts: the frame shows there, and it is looked at.
__device__ __forceinline__ bool counts(const Head& p, int x, int y, float weight) {
    return p.x0 <= x && x < p.x1 && p.y0 <= y && y < p.y1 && weight > 0.0f;
}

// Writes the 8 pixels of column `x` and their mask. Returns the key of the largest pixel that counts, or of a pixel
// anywhere that is not finite.
__device__ __forceinline__ unsigned write_pixels(const Head& p, int x, const float (&pixels)[STRIP]) {
    unsigned peak = 0;
#pragma unroll
    for (int i = 0; i < STRIP; ++i) {
        const int y = blockIdx.y * STRIP + i;
        if (y >= p.height) break;
        const size_t place = (static_cast<size_t>(blockIdx.z) * p.height + y) * p.width + x;
        const bool finite = isfinite(pixels[i]);
        const float weight = weight_at(p, x, y);
        const float value = finite ? weight * pixels[i] : not_a_number();
        const bool inside = counts(p, x, y, weight);
        p.map[place] = value;
        p.mask[place] = inside && value > p.threshold;
        if (inside || !finite) peak = max(peak, key_of(value));
    }
    return peak;
}

// Returns the mean of the `top` largest pixels, for `top` > 1. `peaks` are those of the frame.
__device__ float top_mean(const Head& p, const unsigned* peaks, int patches) {
    unsigned rank = p.top;
    const unsigned bound = kth_largest(
        [&](auto use) {
            for (int i = threadIdx.x; i - static_cast<int>(threadIdx.x) < patches; i += ACROSS)
                use(i < patches ? __ldcg(peaks + i) : 0u);
        },
        rank);
    const auto each = [&](auto use) {
        const int lane = threadIdx.x % 32;
        for (int patch = threadIdx.x / 32; patch < patches; patch += WARPS) {
            if (__ldcg(peaks + patch) < bound) continue;
            const int x = patch % (gridDim.x * WARPS) * 32 + lane, y = patch / (gridDim.x * WARPS) * STRIP;
            for (int i = y; i < y + STRIP; ++i) {
                const bool inside = counts(p, x, i, weight_at(p, x, i));
                const size_t place = (static_cast<size_t>(blockIdx.z) * p.height + i) * p.width + x;
                use(inside ? key_of(__ldcg(p.map + place)) : 0u);
            }
        }
    };
    rank = p.top;
    const unsigned least = kth_largest(each, rank);
    float sum = 0;
    each([&](unsigned key) { sum += key > least ? value_of(key) : 0.0f; });
    sum = join_block<ACROSS>(sum, [](float a, float b) { return a + b; });
    return (sum + static_cast<float>(rank) * value_of(least)) / static_cast<float>(p.top);
}

// Returns whether this block is the last of its frame to call this. Then it can read what the other blocks wrote
// before.
__device__ __forceinline__ bool is_last(unsigned* done) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    const unsigned blocks = gridDim.x * gridDim.y;
    if (threadIdx.x == 0) last = atomicInc(done + blockIdx.z, blocks - 1) == blocks - 1;
    __syncthreads();
    __threadfence();
    return last;
}

__device__ __forceinline__ void make_map(const Head& p, float4* tall) {
    rows_of(p, tall);
    __syncthreads();
    const int x = blockIdx.x * ACROSS + threadIdx.x;
    unsigned peak = 0;
    if (x < p.width) {
        float pixels[STRIP] = {};
        pixels_of(p, tall, x, pixels);
        peak = write_pixels(p, x, pixels);
    }
    for (int distance = 16; distance > 0; distance /= 2) peak = max(peak, __shfl_xor_sync(WARP, peak, distance));
    const int patches = gridDim.y * gridDim.x * WARPS;
    unsigned* peaks = p.peaks + static_cast<size_t>(blockIdx.z) * patches;
    if (threadIdx.x % 32 == 0) peaks[(blockIdx.y * gridDim.x + blockIdx.x) * WARPS + threadIdx.x / 32] = peak;
    if (!is_last(p.done)) return;
    unsigned highest = 0;
    for (int i = threadIdx.x; i < patches; i += ACROSS) highest = max(highest, __ldcg(peaks + i));
    highest = join_block<ACROSS>(highest, [](unsigned a, unsigned b) { return max(a, b); });
    const bool finite = isfinite(value_of(highest));
    const float score = p.top == 1 || !finite ? value_of(highest) : top_mean(p, peaks, patches);
    if (threadIdx.x == 0) p.score[blockIdx.z] = score;
}
