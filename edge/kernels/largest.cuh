// The k-th largest of many values, exactly: a radix select by one block, 8 bits at a time.
#pragma once

#include "numbers.cuh"

// Returns the `rank`-th largest key, or 0 if there are fewer keys. Sets `rank` to the number of keys equal to it that
// are among the `rank` largest. `each(use)` must call `use(key)` for the thread's share of the keys, with all lanes of
// a warp together; a key of 0 does not count. All threads of the block must call this function.
template <typename Each>
__device__ unsigned kth_largest(Each each, unsigned& rank) {
    __shared__ unsigned bins[256], found, left;
    unsigned prefix = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        for (int bin = threadIdx.x; bin < 256; bin += blockDim.x) bins[bin] = 0;
        __syncthreads();
        if (threadIdx.x == 0) found = 0;  // no thread reads the value of the previous round any more
        each([&](unsigned key) {
            // Neighbours share their high bits, so a warp adds once for each bin instead of 32 times to the same one.
            const int bin = key != 0 && (key ^ prefix) >> shift < 256 ? static_cast<int>(key >> shift & 255) : -1;
            const unsigned same = __match_any_sync(WARP, bin);
            if (bin >= 0 && __ffs(same) - 1 == static_cast<int>(threadIdx.x % 32)) atomicAdd(&bins[bin], __popc(same));
        });
        __syncthreads();
        if (threadIdx.x < 32) {
            const int high = 255 - 8 * threadIdx.x;
            unsigned own = 0;
            for (int i = 0; i < 8; ++i) own += bins[high - i];
            unsigned above = own;
            for (int distance = 1; distance < 32; distance *= 2) {
                const unsigned other = __shfl_up_sync(WARP, above, distance);
                if (static_cast<int>(threadIdx.x) >= distance) above += other;
            }
            above -= own;
            if (above < rank && rank <= above + own) {
                int bin = high;
                unsigned wanted = rank - above;
                while (wanted > bins[bin]) wanted -= bins[bin--];
                found = prefix | static_cast<unsigned>(bin) << shift;
                left = wanted;
            }
        }
        __syncthreads();
        prefix = found;
        rank = left;
    }
    return prefix;
}

// Combines the values of all threads of a block with `join`, which is associative. Every thread gets the result.
template <int THREADS, typename T, typename Join>
__device__ T join_block(T value, Join join) {
    __shared__ T parts[THREADS / 32];
    for (int distance = 16; distance > 0; distance /= 2) value = join(value, __shfl_xor_sync(WARP, value, distance));
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    value = parts[0];
    for (int i = 1; i < THREADS / 32; ++i) value = join(value, parts[i]);
    return value;
}
