// Numbers as the kernels read them: 16 bytes at a time, and floats in an order that integers have too.
#pragma once

#include <cuda_fp16.h>

constexpr int SCALES = 4;  // of the features, at most
constexpr unsigned WARP = 0xffffffffu;

__device__ __forceinline__ float not_a_number() { return __uint_as_float(0x7fc00000u); }

// What one load of 16 bytes brings: 4 floats or 8 halves.
template <typename T>
struct alignas(16) Pack {
    static constexpr int width = 16 / sizeof(T);
    T value[width];
};

// Features are read once: they are not to push anything else out of the cache.
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

// Unsigned keys in the order of the floats; not_a_number() has the largest of all, and 0 is no float's.
__device__ __forceinline__ unsigned key_of(float value) {
    const unsigned bits = __float_as_uint(value);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float value_of(unsigned key) {
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}
