// Correlations of activations with weights, and of activations with gradients: all that convolutions are made of.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "lanes.h"
#include "memory.h"

namespace esper {

constexpr int WIDE = 4;  // channels per tile
constexpr int STRIP = 128;  // pixels whose gradients of WIDE channels stay in the first-level cache

// Taps of a kernel [tall, broad] in every channel: where numbers lie around a pixel, channel by channel, row by row.
struct Taps {
    std::vector<int32_t> at;
    int tall, broad;

    int count() const { return int(at.size()); }
    int area() const { return tall * broad; }
    int row(int tap) const { return tap % area() / broad; }
};

// The taps that a pixel needs: `begin` to `end` of every `area`, so often. The others are of rows outside the image.
struct Needed {
    int times, area, begin, end;

    static Needed all(const Taps& taps) { return {1, taps.count(), 0, taps.count()}; }
    static Needed by(const Taps& taps, int row, int height) {
        const int above = taps.tall / 2, first = std::max(0, above - row);
        const int last = std::min(taps.tall, above + height - row);
        if (first == 0 && last == taps.tall) return all(taps);
        return {taps.count() / taps.area(), taps.area(), first * taps.broad, last * taps.broad};
    }
};

// One tile: y[c][p] = bias[c] + Σ_t w[t][c] · x[taps[t] + p].
template <typename T, int C, int P>
inline void tile(const V<T>* x, const int32_t* taps, const Needed& needed, const T* w, const T* bias, V<T>* y,
                 int64_t plane, bool add) {
    V<T> sum[C][P];
    for (int c = 0; c < C; ++c)
        for (int p = 0; p < P; ++p) sum[c][p] = add ? y[c * plane + p] : all<T>(bias ? bias[c] : T(0));
    for (int i = 0; i < needed.times; ++i, taps += needed.area, w += int64_t(C) * needed.area) {
        const T* weights = w + C * needed.begin;
        for (int t = needed.begin; t < needed.end; ++t, weights += C) {
            const V<T>* at = x + taps[t];
            V<T> in[P];
#pragma GCC unroll 8
            for (int p = 0; p < P; ++p) in[p] = at[p];
#pragma GCC unroll 8
            for (int c = 0; c < C; ++c) {
                V<T> weight = all<T>(weights[c]);
#pragma GCC unroll 8
                for (int p = 0; p < P; ++p) sum[c][p] += weight * in[p];
            }
        }
    }
    for (int c = 0; c < C; ++c)
        for (int p = 0; p < P; ++p) y[c * plane + p] = sum[c][p];
}

// A place of pixels in a row of an activation whose channels are `plane` apart.
template <typename T, int P>
inline void channels(const V<T>* x, const Taps& taps, const Needed& needed, const T* w, const T* bias, V<T>* y,
                     int64_t plane, int count, bool add) {
    const int n = taps.count();
    const int32_t* at = taps.at.data();
    int c = 0;
    for (; c + WIDE <= count; c += WIDE, w += int64_t(WIDE) * n)
        tile<T, WIDE, P>(x, at, needed, w, bias ? bias + c : nullptr, y + c * plane, plane, add);
    for (; c < count; ++c, w += n)
        tile<T, 1, P>(x, at, needed, w, bias ? bias + c : nullptr, y + c * plane, plane, add);
}

// y[c][·] (+)= bias[c] + Σ_t w[c][t] · x[· + taps[t]] for every pixel; w is packed as `packed` does.
template <typename T>
void correlate(const V<T>* x, int64_t x_row, const Taps& taps, const T* w, const T* bias, V<T>* y, const Value& shape,
               bool add) {
    int height = shape.height, width = shape.width;
    const bool flat = x_row == width && shape.row() == width;
    if (flat) width *= height, height = 1;
    for (int row = 0; row < height; ++row) {
        const Needed needed = flat ? Needed::all(taps) : Needed::by(taps, row, height);
        const V<T>* in = x + row * x_row;
        V<T>* out = y + row * shape.row();
        int p = 0;
        for (; p + TILE <= width; p += TILE)
            channels<T, TILE>(in + p, taps, needed, w, bias, out + p, shape.plane(), shape.channels, add);
        for (; p < width; ++p)
            channels<T, 1>(in + p, taps, needed, w, bias, out + p, shape.plane(), shape.channels, add);
    }
}

// Weights [count, taps] as `correlate` reads them: WIDE channels beside each other, then those that are left.
// `at(c, t)` is where the weight of channel c and tap t lies in `from`.
template <typename T, typename At>
void pack(std::vector<T>& to, const T* from, int count, int taps, At at) {
    to.resize(size_t(count) * taps);
    T* w = to.data();
    int c = 0;
    for (; c + WIDE <= count; c += WIDE)
        for (int t = 0; t < taps; ++t)
            for (int i = 0; i < WIDE; ++i) *w++ = from[at(c + i, t)];
    for (; c < count; ++c)
        for (int t = 0; t < taps; ++t) *w++ = from[at(c, t)];
}

// One tile: gradient[c][t] += Σ over lanes and pixels of g[c][p] · x[taps[t] + p].
template <typename T, int C, int N>
inline void weigh(const V<T>* g, int64_t g_plane, int64_t g_row, const V<T>* x, int64_t x_row, const int32_t* taps,
                  int height, int width, V<T>* kept, bool first, bool last, T* gradient, int64_t stride) {
    V<T> sum[C * N];
    for (int i = 0; i < C * N; ++i) sum[i] = first ? V<T>{} : kept[i];
    for (int row = 0; row < height; ++row)
        for (int p = 0; p < width; ++p) {
            V<T> up[C];
#pragma GCC unroll 8
            for (int c = 0; c < C; ++c) up[c] = g[c * g_plane + row * g_row + p];
#pragma GCC unroll 8
            for (int t = 0; t < N; ++t) {
                V<T> in = x[taps[t] + row * x_row + p];
#pragma GCC unroll 8
                for (int c = 0; c < C; ++c) sum[c * N + t] += up[c] * in;
            }
        }
    if (!last) {
        for (int i = 0; i < C * N; ++i) kept[i] = sum[i];
        return;
    }
    if constexpr ((C * N) % LANES<T> == 0) {
        for (int first_sum = 0; first_sum < C * N; first_sum += LANES<T>) {
            V<T> found = totals<T>(sum + first_sum);
            for (int lane = 0; lane < LANES<T>; ++lane)
                gradient[(first_sum + lane) / N * stride + (first_sum + lane) % N] += found[lane];
        }
    } else {
        for (int i = 0; i < C * N; ++i) gradient[i / N * stride + i % N] += total<T>(sum[i]);
    }
}

// gradient [C, taps] += the gradient of weights, summed over samples, where g [C, H, W] is that of the output.
template <typename T>
void weights_gradient(const V<T>* g, const Value& shape, const V<T>* x, int64_t x_row, const Taps& taps, T* gradient,
                      std::vector<V<T>>& kept) {
    const int n = taps.count();
    int height = shape.height, width = shape.width;
    const int64_t g_row = shape.row();
    const bool flat = x_row == width && g_row == width;
    if (flat) width *= height, height = 1;
    const int strip = height == 1 ? 1 : std::max(1, STRIP / width);
    const int whole = shape.channels / WIDE * WIDE, even = n / WIDE * WIDE;
    kept.resize(size_t(WIDE) * WIDE * ((n + WIDE - 1) / WIDE + WIDE));
    // Pixels of WIDE channels at a time: along a single row the strip is a part of it.
    const int step = height == 1 ? STRIP : strip;
    const int extent = height == 1 ? width : height;
    auto column = [&](auto channels, int c) {
        constexpr int C = decltype(channels)::value;
        for (int begin = 0; begin < extent; begin += step) {
            const int end = std::min(begin + step, extent);
            const bool first = begin == 0, last = end == extent;
            V<T>* store = kept.data();
            auto some = [&](auto tile, int t) {
                constexpr int N = decltype(tile)::value;
                int from = begin, to = end;
                if (height > 1 && t % taps.area() + N <= taps.area()) {
                    // Taps of one channel; above and below they lie in rows outside the image.
                    from = std::max(from, taps.tall / 2 - taps.row(t + N - 1));
                    to = std::min(to, height + taps.tall / 2 - taps.row(t));
                }
                const int h = height == 1 ? 1 : std::max(0, to - from), w = height == 1 ? end - begin : width;
                weigh<T, C, N>(g + c * shape.plane() + (height == 1 ? begin : from * g_row), shape.plane(), g_row,
                               x + (height == 1 ? begin : from * x_row), x_row, taps.at.data() + t, h, w, store, first,
                               last, gradient + int64_t(c) * n + t, n);
            };
            for (int t = 0; t < even; t += WIDE, store += WIDE * WIDE) some(std::integral_constant<int, WIDE>{}, t);
            for (int t = even; t < n; ++t, store += WIDE) some(std::integral_constant<int, 1>{}, t);
        }
    };
    for (int c = 0; c < whole; c += WIDE) column(std::integral_constant<int, WIDE>{}, c);
    for (int c = whole; c < shape.channels; ++c) column(std::integral_constant<int, 1>{}, c);
}

}  // namespace esper
