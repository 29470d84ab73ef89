// Normalisations within a sample.

#pragma once

#include "memory.h"

namespace esper {

// Group norm, then ReLU and a max-pool by 2 along every axis longer than 1, each if wanted.
template <typename T> struct Norm : Layer<T> {
    Weight weight, bias;
    int groups;
    T eps;
    bool relu, pool;
    Value in, out;
    int64_t kept = 0;  // mean and 1/deviation of each group
    int step_y = 1, step_x = 1;

    bool in_place() const override { return true; }
    int64_t scratch(const std::vector<Value>&) const override { return 2 * groups; }

    void settle(const std::vector<Value>& values, int64_t scratch) override {
        in = values[this->inputs[0]], out = values[this->output], kept = scratch;
        step_y = in.height > out.height ? 2 : 1, step_x = in.width > out.width ? 2 : 1;
    }

    void forward(const Chunk<T>& chunk) override {
        const int share = in.channels / groups;
        const T count = T(share * in.pixels());
        const T *scale = chunk.weight(weight), *shift = chunk.weight(bias);
        for (int group = 0; group < groups; ++group) {
            const V<T>* x = chunk.memory + in.value + group * share * in.plane();
            V<T> sum{}, square{};
            every(x, share, [&](V<T> v) { sum += v; });
            const V<T> mean = sum / count;
            every(x, share, [&](V<T> v) { square += (v - mean) * (v - mean); });
            const V<T> rate = 1 / root<T>(square / count + eps);
            chunk.memory[kept + 2 * group] = mean, chunk.memory[kept + 2 * group + 1] = rate;
            for (int c = 0; c < share; ++c) {
                const int channel = group * share + c;
                const V<T> slope = rate * scale[channel], offset = shift[channel] - mean * slope;
                V<T>* y = chunk.memory + out.value + channel * out.plane();
                for (int row = 0; row < out.height; ++row)
                    for (int p = 0; p < out.width; ++p) {
                        const V<T>* at = x + c * in.plane() + row * step_y * in.row() + p * step_x;
                        V<T> best = *at * slope + offset;
                        if (pool) {
                            if (step_x == 2) best = maximum<T>(at[1] * slope + offset, best);
                            if (step_y == 2) {
                                at += in.row();
                                best = maximum<T>(*at * slope + offset, best);
                                if (step_x == 2) best = maximum<T>(at[1] * slope + offset, best);
                            }
                        }
                        y[row * out.row() + p] = relu ? rectified<T>(best) : best;
                    }
            }
        }
    }

    // With x̂ the normalised input and g the gradient before scale and shift: gx = rate·(γg − mean(γg) − x̂·mean(γg·x̂)).
    void backward(const Chunk<T>& chunk) override {
        const int share = in.channels / groups;
        const T count = T(share * in.pixels());
        const T* scale = chunk.weight(weight);
        const Into into = this->into[0];
        for (int group = 0; group < groups; ++group) {
            const V<T> mean = chunk.memory[kept + 2 * group], rate = chunk.memory[kept + 2 * group + 1];
            V<T> sum{}, along{};
            for (int c = group * share; c < (group + 1) * share; ++c) {
                V<T> of_shift{}, of_scale{};
                routed(chunk, c, mean, rate, [&](int64_t, V<T> x, V<T> g) {
                    of_shift += g;
                    of_scale += g * x;
                });
                if (chunk.trains(weight)) {
                    chunk.gradient(weight)[c] += total<T>(of_scale);
                    chunk.gradient(bias)[c] += total<T>(of_shift);
                }
                sum += of_shift * scale[c];
                along += of_scale * scale[c];
            }
            if (into == Into::NOWHERE) continue;
            sum /= count, along /= count;
            for (int c = group * share; c < (group + 1) * share; ++c) {
                V<T>* target = chunk.memory + in.gradient + c * in.plane();
                routed(chunk, c, mean, rate, [&](int64_t at, V<T> x, V<T> g) {
                    hand<T>(target[at], rate * (g * scale[c] - sum - x * along), into);
                });
            }
        }
    }

    template <typename Work> void every(const V<T>* x, int share, Work work) const {
        for (int c = 0; c < share; ++c)
            for (int row = 0; row < in.height; ++row) {
                const V<T>* at = x + c * in.plane() + row * in.row();
                for (int p = 0; p < in.width; ++p) work(at[p]);
            }
    }

    // Calls work(offset, x̂, g) for every pixel of a channel, with g what ReLU and pool let through to it: the first of
    // a window's largest, if it is above 0.
    template <typename Work> void routed(const Chunk<T>& chunk, int c, V<T> mean, V<T> rate, Work work) const {
        const V<T>* x = chunk.memory + in.value + c * in.plane();
        const V<T>* up = chunk.memory + out.gradient + c * out.plane();
        const T scale = chunk.weight(weight)[c], shift = chunk.weight(bias)[c];
        const V<T> none{}, slope = rate * scale, offset = shift - mean * slope;
        const int used_y = out.height * step_y, used_x = out.width * step_x;
        for (int row = 0; row < out.height; ++row)
            for (int p = 0; p < out.width; ++p) {
                const int64_t first = row * step_y * in.row() + p * step_x;
                const V<T> g = up[row * out.row() + p];
                if (!pool) {
                    const V<T> value = x[first], before = value * slope + offset;
                    work(first, (value - mean) * rate, relu ? (before > 0 ? g : none) : g);
                    continue;
                }
                V<T> best = x[first] * slope + offset;
                window(first, [&](int64_t at) { best = maximum<T>(x[at] * slope + offset, best); });
                V<T> left = relu ? (best > 0 ? g : none) : g;
                window(first, [&](int64_t at) {
                    const V<T> value = x[at], before = value * slope + offset;
                    work(at, (value - mean) * rate, before == best ? left : none);
                    left = before == best ? none : left;
                });
            }
        // What no window reached.
        for (int row = 0; row < in.height; ++row)
            for (int p = row < used_y ? used_x : 0; p < in.width; ++p) {
                const int64_t at = row * in.row() + p;
                work(at, (x[at] - mean) * rate, none);
            }
    }

    template <typename Work> void window(int64_t first, Work work) const {
        for (int y = 0; y < step_y; ++y)
            for (int x = 0; x < step_x; ++x) work(first + y * in.row() + x);
    }
};

// Layer norm over the channels of each pixel, without weights.
template <typename T> struct ChannelNorm : Layer<T> {
    T eps;
    Value in, out;
    int64_t kept = 0;  // 1/deviation of each pixel

    int64_t scratch(const std::vector<Value>& values) const override { return values[this->inputs[0]].pixels(); }

    void settle(const std::vector<Value>& values, int64_t scratch) override {
        in = values[this->inputs[0]], out = values[this->output], kept = scratch;
    }

    void forward(const Chunk<T>& chunk) override {
        int64_t pixel = 0;
        for (int row = 0; row < in.height; ++row)
            for (int p = 0; p < in.width; ++p, ++pixel) {
                const V<T>* x = chunk.memory + in.value + row * in.row() + p;
                V<T>* y = chunk.memory + out.value + row * out.row() + p;
                V<T> sum{}, square{};
                for (int c = 0; c < in.channels; ++c) sum += x[c * in.plane()];
                const V<T> mean = sum / T(in.channels);
                for (int c = 0; c < in.channels; ++c) {
                    const V<T> away = x[c * in.plane()] - mean;
                    square += away * away;
                }
                const V<T> rate = 1 / root<T>(square / T(in.channels) + eps);
                for (int c = 0; c < in.channels; ++c) y[c * out.plane()] = (x[c * in.plane()] - mean) * rate;
                chunk.memory[kept + pixel] = rate;
            }
    }

    void backward(const Chunk<T>& chunk) override {
        if (this->into[0] == Into::NOWHERE) return;
        int64_t pixel = 0;
        for (int row = 0; row < in.height; ++row)
            for (int p = 0; p < in.width; ++p, ++pixel) {
                const V<T>* y = chunk.memory + out.value + row * out.row() + p;
                const V<T>* g = chunk.memory + out.gradient + row * out.row() + p;
                V<T>* target = chunk.memory + in.gradient + row * in.row() + p;
                V<T> sum{}, along{};
                for (int c = 0; c < in.channels; ++c) {
                    sum += g[c * out.plane()];
                    along += g[c * out.plane()] * y[c * out.plane()];
                }
                sum /= T(in.channels), along /= T(in.channels);
                const V<T> rate = chunk.memory[kept + pixel];
                for (int c = 0; c < in.channels; ++c)
                    hand<T>(target[c * in.plane()],
                            rate * (g[c * out.plane()] - sum - y[c * out.plane()] * along), this->into[0]);
            }
    }
};

}  // namespace esper
