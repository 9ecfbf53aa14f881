// Helpers for numbers: loads of 16 bytes, conversions, and integer keys in the order of floats.
#pragma once

#include <cuda_fp16.h>

constexpr int SCALES = 4;  // largest number of scales of the features
constexpr unsigned WARP = 0xffffffffu;  // mask of all lanes of a warp

__device__ __forceinline__ float not_a_number() { return __uint_as_float(0x7fc00000u); }

// The values of one load of 16 bytes: 4 floats or 8 halves.
template <typename T>
struct alignas(16) Pack {
    static constexpr int width = 16 / sizeof(T);
    T value[width];
};

// Features are read once, so the load does not let them push other data out of the cache.
template <typename T>
__device__ __forceinline__ Pack<T> load_pack(const T* from) {
    Pack<T> pack;
    *reinterpret_cast<uint4*>(&pack) = __ldcs(reinterpret_cast<const uint4*>(from));
    return pack;
}

__device__ __forceinline__ float as_float(float value) { return value; }
__device__ __forceinline__ float as_float(__half value) { return __half2float(value); }

__device__ __forceinline__ void store(float* to, float value) { *to = value; }
__device__ __forceinline__ void store(__half* to, float value) { *to = __float2half_rn(value); }

// Returns an unsigned key; keys have the order of their floats. not_a_number() has the largest key, and no float has 0.
__device__ __forceinline__ unsigned key_of(float value) {
    const unsigned bits = __float_as_uint(value);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float value_of(unsigned key) {
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}
