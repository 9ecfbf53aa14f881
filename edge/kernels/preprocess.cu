// Turns a camera's frame into the network's input: crop, grey, resize, pad, cut into tiles, normalise, channels first.
//
// The result is that of edge/frame/fit.py on the processor, to the last bit: bilinear between pixel centres with shares
// of 1/256, as OpenCV's INTER_LINEAR_EXACT computes it, after as many halvings (kernel resize) as resize_steps in
// edge/frame/resizing.py returns. Every step is rounded to whole levels. The last step is done together with the
// normalisation (kernels preprocess_*). A crop is a pointer to its corner. Pixels of the canvas that take anything from
// pixels of the frame that are not looked at get one colour (`blind`).
//
// Bytes: each pixel of the frame is read once, 3 bytes, and each pixel of the input is written, 12 bytes (FP32) or 6
// (FP16). From 640x480 to 256x256 in FP32 these are 1.7 MB: 0.4 us at an H200's 4.3 TB/s, 8.4 us at an AGX Orin's 204.8
// GB/s. Operations: 30 on integers and 3 multiply-adds per output pixel. Each thread computes one output pixel, so that
// lanes read and write neighbours. The shares are OpenCV's double precision arithmetic, which is slow on a Jetson, so a
// block of 32 x 8 threads computes those of its columns and rows once.
#include "numbers.cuh"

struct Picture {
    const unsigned char* pixels;  // (height, width, 3) BGR
    int width, height;
    int pitch;                    // bytes from one row to the next
    int grey;                     // whether colour is removed first
};

struct Resize {
    Picture from;
    unsigned char* to;            // (height, width, 3), without gaps
    int width, height;
    double scale_x, scale_y;      // pixels of `from` per pixel of `to`
};

struct Preprocess {
    Picture from;
    void* to;                     // (tiles, 3, height, width) RGB
    int width, height;            // of a tile
    int columns;                  // number of columns in the grid of tiles
    int step_x, step_y;           // canvas pixels from one tile to the next
    int left, top;                // corner of the picture on the canvas; around it, its edges are replicated
    int inner_width, inner_height;
    double scale_x, scale_y;      // pixels of `from` per pixel of the picture on the canvas
    float scale[3], shift[3];     // for red, green and blue: input = scale * level + shift
    const unsigned char* blind;   // (canvas height, canvas width): not 0 where `blank` is written; null: nowhere
    int canvas_width;
    int blank;                    // level of all three colours
};

constexpr int ONE = 256;               // OpenCV's fixed point has 8 bits
constexpr int COLUMNS = 32, ROWS = 8;  // threads of a block

struct Tap {
    int low, high;  // the two neighbouring pixels
    int share;      // weight of `high` in units of 1/256
};

// Returns the pixels of a side of `from` pixels between which the centre of pixel `i` of the result lies:
// (i + 1/2) * scale - 1/2. The operations are OpenCV's, each rounded by itself: where a share lies just between two
// units, as always from an odd side to 256 pixels, their rounding decides. At the edges both are the last pixel.
__device__ __forceinline__ Tap tap(int i, int from, double scale) {
    const double place = __dsub_rn(__dmul_rn(scale, i + 0.5), 0.5);
    const int low = __double2int_rd(place);
    const int share = __double2int_rn(__dmul_rn(__dsub_rn(place, low), ONE));
    return {min(max(low, 0), from - 1), min(max(low + 1, 0), from - 1), share};
}

__device__ __forceinline__ void read(const Picture& picture, int x, int y, int (&bgr)[3]) {
    const unsigned char* pixel = picture.pixels + static_cast<size_t>(y) * picture.pitch + 3 * x;
    for (int c = 0; c < 3; ++c) bgr[c] = __ldg(pixel + c);
    if (picture.grey) bgr[0] = bgr[1] = bgr[2] = (3735 * bgr[0] + 19235 * bgr[1] + 9798 * bgr[2] + (1 << 14)) >> 15;
}

// Samples a picture between two columns and two rows.
__device__ __forceinline__ void sample(const Picture& picture, const Tap& h, const Tap& v, int (&bgr)[3]) {
    int a[3], b[3], c[3], d[3];
    read(picture, h.low, v.low, a);
    read(picture, h.high, v.low, b);
    read(picture, h.low, v.high, c);
    read(picture, h.high, v.high, d);
    for (int i = 0; i < 3; ++i) {
        const int upper = a[i] * (ONE - h.share) + b[i] * h.share, lower = c[i] * (ONE - h.share) + d[i] * h.share;
        bgr[i] = (upper * (ONE - v.share) + lower * v.share + ONE * ONE / 2) >> 16;
    }
}

template <typename T>
__device__ __forceinline__ void preprocess(const Preprocess& p) {
    __shared__ Tap across[COLUMNS], down[ROWS];
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    const int row = blockIdx.z / p.columns, column = blockIdx.z - row * p.columns;
    const int canvas_x = column * p.step_x + x, canvas_y = row * p.step_y + y;
    const int inner_x = min(max(canvas_x - p.left, 0), p.inner_width - 1);
    const int inner_y = min(max(canvas_y - p.top, 0), p.inner_height - 1);
    if (threadIdx.y == 0) across[threadIdx.x] = tap(inner_x, p.from.width, p.scale_x);
    if (threadIdx.x == 0) down[threadIdx.y] = tap(inner_y, p.from.height, p.scale_y);
    __syncthreads();
    if (x >= p.width || y >= p.height) return;
    int bgr[3];
    if (p.blind != nullptr && __ldg(p.blind + static_cast<size_t>(canvas_y) * p.canvas_width + canvas_x) != 0)
        for (int c = 0; c < 3; ++c) bgr[c] = p.blank;
    else
        sample(p.from, across[threadIdx.x], down[threadIdx.y], bgr);
    for (int c = 0; c < 3; ++c) {
        const size_t plane = static_cast<size_t>(3 * blockIdx.z + c) * p.height;
        store(static_cast<T*>(p.to) + (plane + y) * p.width + x, fmaf(p.scale[c], bgr[2 - c], p.shift[c]));
    }
}

extern "C" {

__global__ void __launch_bounds__(256) resize(const __grid_constant__ Resize p) {
    __shared__ Tap across[COLUMNS], down[ROWS];
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (threadIdx.y == 0) across[threadIdx.x] = tap(x, p.from.width, p.scale_x);
    if (threadIdx.x == 0) down[threadIdx.y] = tap(y, p.from.height, p.scale_y);
    __syncthreads();
    if (x >= p.width || y >= p.height) return;
    int bgr[3];
    sample(p.from, across[threadIdx.x], down[threadIdx.y], bgr);
    unsigned char* pixel = p.to + 3 * (static_cast<size_t>(y) * p.width + x);
    for (int c = 0; c < 3; ++c) pixel[c] = static_cast<unsigned char>(bgr[c]);
}

__global__ void __launch_bounds__(256) preprocess_float32(const __grid_constant__ Preprocess p) { preprocess<float>(p); }

__global__ void __launch_bounds__(256) preprocess_float16(const __grid_constant__ Preprocess p) { preprocess<__half>(p); }
}
