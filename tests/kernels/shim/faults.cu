// What the shim must notice: one mistake each.
struct Fault {
    const float* from;
    float* to;
    int which;
};

extern "C" __global__ void fault(const __grid_constant__ Fault p) {
    __shared__ float values[64];
    const int i = threadIdx.x;
    switch (p.which) {
        case 0:  // none
            values[i] = p.from[i];
            __syncthreads();
            p.to[i] = values[63 - i];
            break;
        case 1:  // a missing barrier
            values[i] = p.from[i];
            p.to[i] = values[63 - i];
            break;
        case 2:  // a thread leaves before a barrier
            if (i == 5) return;
            __syncthreads();
            break;
        case 3:  // two barriers
            if (i < 32) {
                __syncthreads();
            } else {
                __syncthreads();
            }
            break;
        case 4:  // a lane that does not take part is waited for
            if (i % 32 < 16) p.to[i] = __shfl_xor_sync(0xffffffffu, p.from[i], 1);
            break;
        case 5:  // a lane outside the mask is read
            if (i % 32 < 16) p.to[i] = __shfl_xor_sync(0xffffu, p.from[i], 16);
            break;
        case 6:  // 16 bytes from an address that is no multiple of 16
            p.to[i] = __ldg(reinterpret_cast<const float4*>(p.from + 1)).x;
            break;
        case 7:  // outside the buffer
            p.to[i] = p.from[i + 1];
            break;
        default:  // shared memory that was not asked for
            extern __shared__ float4 tall[];
            tall[i].x = 1;
    }
}
