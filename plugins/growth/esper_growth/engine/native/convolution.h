// Convolutions that keep the size of an image, dense and depthwise; a linear layer is one on a single pixel.

#pragma once

#include <algorithm>

#include "memory.h"
#include "products.h"

namespace esper {

// A kernel's taps around a pixel, in each of `count` channels.
inline Taps around(const Value& value, int tall, int broad, int count) {
    Taps taps{{}, tall, broad};
    for (int c = 0; c < count; ++c)
        for (int y = 0; y < tall; ++y)
            for (int x = 0; x < broad; ++x)
                taps.at.push_back(int32_t(c * value.plane() + (y - tall / 2) * value.row() + x - broad / 2));
    return taps;
}

inline void widen(Value& value, int tall, int broad) {
    value.border_y = std::max(value.border_y, tall / 2);
    value.border_x = std::max(value.border_x, broad / 2);
}

// What slides a kernel [tall, broad] over an image. Taps are where numbers of the input, or of the output's gradient on
// the way back, lie around a pixel.
template <typename T> struct Sliding : Layer<T> {
    Weight weight;
    int tall, broad;
    Value in, out;
    Taps taps, back_taps;
    std::vector<V<T>> kept;

    void want(std::vector<Value>& values) const override {
        widen(values[this->inputs[0]], tall, broad);
        if (values[this->inputs[0]].learns) widen(values[this->output], tall, broad);
    }
};

// weight [out, in, tall, broad], bias [out] or none.
template <typename T> struct Convolution : Sliding<T> {
    using Sliding<T>::weight, Sliding<T>::tall, Sliding<T>::broad, Sliding<T>::in, Sliding<T>::out, Sliding<T>::taps,
        Sliding<T>::back_taps, Sliding<T>::kept;
    Weight bias;
    std::vector<T> packed, back_packed;

    void settle(const std::vector<Value>& values, int64_t) override {
        in = values[this->inputs[0]], out = values[this->output];
        taps = around(in, tall, broad, in.channels), back_taps = around(out, tall, broad, out.channels);
    }

    void prepare(const Chunk<T>& chunk) override {
        const int n = taps.count(), area = tall * broad;
        const T* w = chunk.weight(weight);
        pack(packed, w, out.channels, n, [n](int c, int t) { return int64_t(c) * n + t; });
        if (this->into[0] == Into::NOWHERE) return;
        pack(back_packed, w, in.channels, out.channels * area, [n, area](int c, int t) {
            return int64_t(t / area) * n + int64_t(c) * area + area - 1 - t % area;
        });
    }

    void forward(const Chunk<T>& chunk) override {
        const T* b = bias.given() ? chunk.weight(bias) : nullptr;
        correlate<T>(chunk.memory + in.value, in.row(), taps, packed.data(), b, chunk.memory + out.value, out, false);
    }

    void backward(const Chunk<T>& chunk) override {
        const V<T>* g = chunk.memory + out.gradient;
        if (chunk.trains(weight))
            weights_gradient<T>(g, out, chunk.memory + in.value, in.row(), taps, chunk.gradient(weight), kept);
        if (chunk.trains(bias)) {
            T* gradient = chunk.gradient(bias);
            for (int c = 0; c < out.channels; ++c) {
                V<T> sum{};
                for (int y = 0; y < out.height; ++y)
                    for (int x = 0; x < out.width; ++x) sum += g[c * out.plane() + y * out.row() + x];
                gradient[c] += total<T>(sum);
            }
        }
        if (this->into[0] != Into::NOWHERE)
            correlate<T>(g, out.row(), back_taps, back_packed.data(), nullptr, chunk.memory + in.gradient, in,
                         this->into[0] == Into::MORE);
    }
};

// weight [channels, 1, tall, broad].
template <typename T> struct Depthwise : Sliding<T> {
    using Sliding<T>::weight, Sliding<T>::tall, Sliding<T>::broad, Sliding<T>::in, Sliding<T>::out, Sliding<T>::taps,
        Sliding<T>::back_taps, Sliding<T>::kept;
    std::vector<T> turned;

    void settle(const std::vector<Value>& values, int64_t) override {
        in = values[this->inputs[0]], out = values[this->output];
        taps = around(in, tall, broad, 1), back_taps = around(out, tall, broad, 1);
    }

    void prepare(const Chunk<T>& chunk) override {
        const int area = tall * broad;
        const T* w = chunk.weight(weight);
        turned.resize(size_t(in.channels) * area);
        for (int i = 0; i < in.channels * area; ++i) turned[i] = w[i / area * area + area - 1 - i % area];
    }

    void forward(const Chunk<T>& chunk) override {
        each(in, taps, chunk.memory + in.value, chunk.weight(weight), out, chunk.memory + out.value, false);
    }

    void backward(const Chunk<T>& chunk) override {
        const V<T>* g = chunk.memory + out.gradient;
        if (chunk.trains(weight)) {
            const int area = tall * broad;
            Value one = out;
            one.channels = 1;
            for (int c = 0; c < out.channels; ++c)
                weights_gradient<T>(g + c * out.plane(), one, chunk.memory + in.value + c * in.plane(), in.row(), taps,
                                    chunk.gradient(weight) + int64_t(c) * area, kept);
        }
        if (this->into[0] != Into::NOWHERE)
            each(out, back_taps, g, turned.data(), in, chunk.memory + in.gradient, this->into[0] == Into::MORE);
    }

    // Correlates every channel with its own kernel.
    void each(const Value& from, const Taps& offsets, const V<T>* x, const T* w, const Value& to,
              V<T>* y, bool add) const {
        Value one = to;
        one.channels = 1;
        for (int c = 0; c < to.channels; ++c, w += offsets.count())
            correlate<T>(x + c * from.plane(), from.row(), offsets, w, nullptr, y + c * to.plane(), one, add);
    }
};

}  // namespace esper
