// The kernels' own source, unchanged, and the one function by which Python launches them.
#include "fibers.h"

#include "../../../edge/kernels/discrepancy.cu"
#include "../../../edge/kernels/preprocess.cu"
#include "faults.cu"

extern "C" {
thread_local float4 tall[shim::SHARED / sizeof(float4)];  // the dynamic shared memory, under the name `head` has for it
}

namespace {

struct Entry {
    const char* name;
    shim::Kernel kernel;
    std::size_t size;
};

#define KERNEL(name, Parameters) {#name, [](const void* p) { name(*static_cast<const Parameters*>(p)); }, sizeof(Parameters)}

const Entry ENTRIES[] = {
    KERNEL(distance_nchw_float32, Distance), KERNEL(distance_nchw_float16, Distance),
    KERNEL(distance_nhwc_float32, Distance), KERNEL(distance_nhwc_float16, Distance),
    KERNEL(distance_nchw_float16_narrow, Distance),
    KERNEL(arrange_float32, Arrange),        KERNEL(arrange_float16, Arrange),
    KERNEL(head, Head),                      KERNEL(resize, Resize),
    KERNEL(preprocess_float32, Preprocess),  KERNEL(preprocess_float16, Preprocess),
    KERNEL(fault, Fault),
};

}  // namespace

extern "C" void shim_launch(const char* name, const unsigned* grid, const unsigned* block, std::size_t shared,
                            const void* parameters, std::size_t size, unsigned seed, char* error, std::size_t error_size) {
    for (const Entry& entry : ENTRIES) {
        if (std::strcmp(entry.name, name) != 0) continue;
        if (entry.size != size) break;
        return shim::launch(entry.kernel, parameters, {grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]}, tall,
                            shared, seed, error, error_size);
    }
    std::strncpy(error, "there is no such kernel, or its argument is of another size", error_size - 1);
}
