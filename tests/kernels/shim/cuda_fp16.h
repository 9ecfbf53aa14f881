// Half precision as CUDA's header of this name has it, as far as the kernels use it.
#pragma once

#include <cstdint>
#include <cstring>

struct __half {
    std::uint16_t bits;
};

inline float __half2float(__half half) {
    const std::uint32_t sign = (half.bits & 0x8000u) << 16, exponent = half.bits >> 10 & 31, fraction = half.bits & 0x3ff;
    if (exponent == 0) {
        const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    const std::uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// To the nearest, ties to even.
inline __half __float2half_rn(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const std::uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    std::uint32_t half;
    if (magnitude > 0x7f800000u) {
        half = 0x7e00;
    } else if (magnitude >= 0x477ff000u) {  // 65520 and more round to infinity
        half = 0x7c00;
    } else if (magnitude < 0x38800000u) {  // subnormal halves: the addition rounds to a multiple of 2^-24
        float rounded;
        std::memcpy(&rounded, &magnitude, 4);
        rounded += 0.5f;
        std::memcpy(&half, &rounded, 4);
        half -= 0x3f000000u;
    } else {
        half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13;
    }
    return {static_cast<std::uint16_t>(sign | half)};
}
