#include "fibers.h"

#include <link.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <list>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

namespace shim {
namespace {

constexpr std::size_t STACK = 64 * 1024;
constexpr std::size_t RESIDENT = 3;  // blocks that take turns
constexpr unsigned STAY = 256;       // steps that one makes before another has its turn, on average
constexpr unsigned char POISON = 0xff;  // as a float not a number, as an index far outside

enum class State { READY, BARRIER, WARP, DONE };

struct Fiber {
    ucontext_t context;
    dim3 index;
    State state = State::READY;
    Where where{};
    unsigned mask = 0;
    std::uint32_t given = 0, taken[32] = {};
};

struct Block {
    dim3 index;
    std::vector<Fiber> fibers;
    std::vector<unsigned> ready;
    std::unique_ptr<char[]> stacks;
    std::vector<char> shared;  // its shared memory while another block runs
};

struct Launch {
    Kernel kernel;
    const void* parameters;
    dim3 grid, size;
    std::mt19937 draw;
    bool shuffled;
    char* error;
    std::size_t error_size;
    unsigned running = 0;
    ucontext_t scheduler{};
};

// This library's thread-local memory, which is the kernels' shared memory.
struct Memory {
    char* start = nullptr;
    std::size_t size = 0;
};

Launch* now = nullptr;
Block* block = nullptr;

Fiber& running() { return block->fibers[now->running]; }

void wait(State state, Where where) {
    Fiber& fiber = running();
    fiber.state = state;
    fiber.where = where;
    swapcontext(&fiber.context, &now->scheduler);
}

bool same(Where a, Where b) { return a.line == b.line && std::strcmp(a.file, b.file) == 0; }

void say(Where where, unsigned thread, const char* message) {
    if (now->error[0]) return;
    std::snprintf(now->error, now->error_size, "%s:%d: thread %u of block %u,%u,%u: %s", where.file, where.line,
                  thread, block->index.x, block->index.y, block->index.z, message);
}

void run_fiber() {
    now->kernel(now->parameters);
    wait(State::DONE, {});
}

// Lets the warp of `thread` go on where all lanes it waits for have come to the same place.
void release_warp(unsigned thread) {
    const Fiber& first = block->fibers[thread];
    const unsigned start = thread / 32 * 32;
    std::uint32_t values[32] = {};
    for (unsigned i = 0; i < 32; ++i) {
        if (!(first.mask >> i & 1)) continue;
        if (start + i >= block->fibers.size()) return say(first.where, thread, "it waits for lanes that do not exist");
        const Fiber& other = block->fibers[start + i];
        if (other.state != State::WARP || other.mask != first.mask || !same(other.where, first.where)) return;
        values[i] = other.given;
    }
    const unsigned mask = first.mask;
    for (unsigned i = 0; i < 32; ++i) {
        if (!(mask >> i & 1)) continue;
        Fiber& fiber = block->fibers[start + i];
        std::copy(values, values + 32, fiber.taken);
        fiber.state = State::READY;
    }
}

// Lets all go on where all have come to the same barrier; nobody can otherwise.
void release_barrier() {
    const auto waits = [](const Fiber& fiber) { return fiber.state != State::DONE; };
    const auto first = std::find_if(block->fibers.begin(), block->fibers.end(), waits);
    if (first == block->fibers.end()) return;
    const unsigned thread = static_cast<unsigned>(first - block->fibers.begin());
    if (first->state == State::WARP) return say(first->where, thread, "it waits for lanes that do not come");
    for (const Fiber& fiber : block->fibers) {
        if (fiber.state == State::DONE) return say(first->where, thread, "it waits for threads that have left");
        if (fiber.state == State::WARP || !same(fiber.where, first->where))
            return say(first->where, thread, "it waits for threads that wait elsewhere");
    }
    for (Fiber& fiber : block->fibers) fiber.state = State::READY;
}

void begin(unsigned thread) {
    const dim3& size = now->size;
    Fiber& fiber = block->fibers[thread];
    fiber.index = {thread % size.x, thread / size.x % size.y, thread / size.x / size.y};
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = block->stacks.get() + thread * STACK;
    fiber.context.uc_stack.ss_size = STACK;
    makecontext(&fiber.context, run_fiber, 0);
}

// Runs one thread of the block until it waits.
void step() {
    std::vector<unsigned>& ready = block->ready;
    if (now->shuffled) std::swap(ready[now->draw() % ready.size()], ready.back());
    now->running = ready.back();
    ready.pop_back();
    swapcontext(&now->scheduler, &running().context);
    if (running().state == State::WARP) {
        release_warp(now->running);
        if (running().state == State::READY)
            for (unsigned i = 0; i < 32; ++i)
                if (running().mask >> i & 1) ready.push_back(now->running / 32 * 32 + i);
    }
    if (!ready.empty() || now->error[0]) return;
    release_barrier();
    for (unsigned i = static_cast<unsigned>(block->fibers.size()); i-- > 0;)
        if (block->fibers[i].state == State::READY) ready.push_back(i);
}

int find(dl_phdr_info* library, std::size_t, void* memory) {
    Memory& found = *static_cast<Memory*>(memory);
    for (int i = 0; i < library->dlpi_phnum; ++i) {
        const auto& segment = library->dlpi_phdr[i];
        char* start = static_cast<char*>(library->dlpi_tls_data);
        if (segment.p_type != PT_TLS || found.start < start || found.start >= start + segment.p_memsz) continue;
        found = {start, segment.p_memsz};
        return 1;
    }
    return 0;
}

bool untouched(const void* dynamic, std::size_t shared) {
    const auto* bytes = static_cast<const unsigned char*>(dynamic);
    return std::all_of(bytes + shared, bytes + SHARED, [](unsigned char byte) { return byte == POISON; });
}

// Makes `next` the block that runs: its shared memory takes the other's place.
void change_to(Block& next, const Memory& memory) {
    if (block == &next) return;
    if (block) block->shared.assign(memory.start, memory.start + memory.size);
    block = &next;
    std::copy(next.shared.begin(), next.shared.end(), memory.start);
}

void start(Block& fresh, std::size_t i, const Memory& memory) {
    const dim3& grid = now->grid;
    const std::size_t threads = fresh.fibers.size();
    fresh.index = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                   static_cast<unsigned>(i / grid.x / grid.y)};
    fresh.shared.assign(memory.size, static_cast<char>(POISON));
    change_to(fresh, memory);
    fresh.ready.resize(threads);
    std::iota(fresh.ready.rbegin(), fresh.ready.rend(), 0u);
    for (unsigned thread = 0; thread < threads; ++thread) begin(thread);
}

}  // namespace

dim3 thread_index() { return running().index; }
dim3 block_index() { return block->index; }
dim3 block_size() { return now->size; }
dim3 grid_size() { return now->grid; }
unsigned lane() { return now->running % 32; }

void fail(Where where, const char* message) {
    say(where, now->running, message);
    wait(State::DONE, where);
    __builtin_unreachable();
}

void barrier(Where where) { wait(State::BARRIER, where); }

const std::uint32_t* exchange(Where where, unsigned mask, std::uint32_t value) {
    if (!(mask >> lane() & 1)) fail(where, "the lane is not in its own mask");
    running().mask = mask;
    running().given = value;
    wait(State::WARP, where);
    return running().taken;
}

void launch(Kernel kernel, const void* parameters, dim3 grid, dim3 size, void* dynamic, std::size_t shared,
            unsigned seed, char* error, std::size_t error_size) {
    const std::size_t threads = static_cast<std::size_t>(size.x) * size.y * size.z;
    const std::size_t count = static_cast<std::size_t>(grid.x) * grid.y * grid.z;
    error[0] = 0;
    if (threads > 1024 || shared > SHARED) {
        std::snprintf(error, error_size, "%zu threads and %zu bytes of shared memory are more than a GPU has", threads, shared);
        return;
    }
    Launch all{kernel, parameters, grid, size, std::mt19937(seed), seed != 0, error, error_size};
    now = &all;
    std::vector<std::size_t> order(count);
    std::iota(order.rbegin(), order.rend(), std::size_t{0});
    if (seed) std::shuffle(order.begin(), order.end(), all.draw);
    Memory memory{static_cast<char*>(dynamic), 0};
    dl_iterate_phdr(find, &memory);
    std::list<Block> resident;
    while ((!order.empty() || !resident.empty()) && !error[0]) {
        if (!order.empty() && resident.size() < (seed ? RESIDENT : 1)) {
            // Not zeroed: only what a fiber touches is ever mapped.
            resident.push_back({{}, std::vector<Fiber>(threads), {}, std::unique_ptr<char[]>(new char[threads * STACK]), {}});
            start(resident.back(), order.back(), memory);
            order.pop_back();
            continue;
        }
        if (seed && all.draw() % STAY == 0)
            change_to(*std::next(resident.begin(), all.draw() % resident.size()), memory);
        step();
        if (!block->ready.empty() || error[0]) continue;
        if (!untouched(dynamic, shared)) say({"shared memory", 0}, 0, "more was written than it asked for");
        resident.remove_if([](const Block& other) { return &other == block; });
        block = nullptr;
        if (!resident.empty()) change_to(resident.front(), memory);
    }
    now = nullptr;
    block = nullptr;
}

}  // namespace shim
