// CUDA's words on the host, as far as the kernels use them: included before the kernels' own source.
//
// Every CUDA thread of a block is a fiber. It runs alone until it waits: at a block's barrier, or for its warp. Which
// one runs next is drawn at random, so a missing barrier shows as another result. What a GPU would do wrong in silence
// is a failure here: threads that wait at different barriers, lanes that do not take part, 16-byte access to an
// address that is no multiple of 16.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

struct dim3 {
    unsigned x, y, z;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

namespace shim {

struct Where {
    const char* file;
    int line;
};

dim3 thread_index();
dim3 block_index();
dim3 block_size();
dim3 grid_size();

// Ends the launch with a message; does not return to the kernel.
[[noreturn]] void fail(Where where, const char* message);

void barrier(Where where);

// Leaves `value` and waits until all lanes of `mask` have come here; the lanes' values, 32 of them.
const std::uint32_t* exchange(Where where, unsigned mask, std::uint32_t value);

unsigned lane();

template <typename T>
T from_lane(Where where, unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) == 4);
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const std::uint32_t* values = exchange(where, mask, bits);
    if (!(mask >> source & 1)) fail(where, "a lane reads one that does not take part");
    std::memcpy(&value, values + source, 4);
    return value;
}

template <typename T>
T shuffle_up(Where where, unsigned mask, T value, unsigned distance) {
    return from_lane(where, mask, value, lane() < distance ? lane() : lane() - distance);
}

inline unsigned match_any(Where where, unsigned mask, int value) {
    const std::uint32_t* values = exchange(where, mask, static_cast<std::uint32_t>(value));
    unsigned same = 0;
    for (unsigned i = 0; i < 32; ++i) same |= (mask >> i & 1) && values[i] == static_cast<std::uint32_t>(value) ? 1u << i : 0;
    return same;
}

template <typename T>
T load(Where where, const T* from) {
    if (reinterpret_cast<std::uintptr_t>(from) % sizeof(T)) fail(where, "a misaligned load");
    return *from;
}

}  // namespace shim

#define HERE (shim::Where{__FILE__, __LINE__})

#define __global__
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
// The fibers share one thread: what is local to it is the block's. It is poisoned before each block.
#define __shared__ thread_local

#define threadIdx (shim::thread_index())
#define blockIdx (shim::block_index())
#define blockDim (shim::block_size())
#define gridDim (shim::grid_size())

#define __syncthreads() shim::barrier(HERE)
#define __threadfence() static_cast<void>(0)
#define __shfl_xor_sync(mask, value, distance) shim::from_lane(HERE, mask, value, shim::lane() ^ (distance))
#define __shfl_up_sync(mask, value, distance) shim::shuffle_up(HERE, mask, value, distance)
#define __shfl_sync(mask, value, source) shim::from_lane(HERE, mask, value, (source) % 32)
#define __match_any_sync(mask, value) shim::match_any(HERE, mask, value)
#define __ldg(from) shim::load(HERE, from)
#define __ldcg(from) shim::load(HERE, from)
#define __ldcs(from) shim::load(HERE, from)

inline unsigned atomicAdd(unsigned* place, unsigned value) {
    const unsigned old = *place;
    *place += value;
    return old;
}

inline unsigned atomicInc(unsigned* place, unsigned limit) {
    const unsigned old = *place;
    *place = old >= limit ? 0 : old + 1;
    return old;
}

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}

inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// Each rounded by itself: no compiler may join them, as nvcc would join a product and a sum.
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline int __double2int_rd(double value) { return static_cast<int>(std::floor(value)); }
inline int __double2int_rn(double value) { return static_cast<int>(std::nearbyint(value)); }

inline int __ffs(unsigned bits) { return __builtin_ffs(static_cast<int>(bits)); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int max(int a, int b) { return a > b ? a : b; }
inline int min(int a, int b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
using std::isfinite;
