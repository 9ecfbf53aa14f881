// A launch on the host: the threads of its blocks as fibers.
#pragma once

#include "device.h"

namespace shim {

constexpr std::size_t SHARED = 48 * 1024;  // dynamic shared memory that every GPU grants without being asked

using Kernel = void (*)(const void* parameters);

// Runs a kernel. `seed` 0 takes blocks and threads in order, any other in one of many random orders, with three blocks
// under way at a time. What the kernel did wrong is left in `error`, empty where nothing was. `dynamic` is its dynamic
// shared memory of SHARED bytes, thread-local as all of it.
void launch(Kernel kernel, const void* parameters, dim3 grid, dim3 block, void* dynamic, std::size_t shared,
            unsigned seed, char* error, std::size_t size);

}  // namespace shim
