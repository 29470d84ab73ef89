// Layers that look at one number, or one pixel, at a time; means, patches and sums.

#pragma once

#include "memory.h"

namespace esper {

// y = f(x), where the derivative follows from x and y.
template <typename T, typename Function> struct Pointwise : Layer<T> {
    Value in, out;

    void settle(const std::vector<Value>& values, int64_t) override {
        in = values[this->inputs[0]], out = values[this->output];
    }

    void forward(const Chunk<T>& chunk) override {
        const V<T>* x = chunk.memory + in.value;
        V<T>* y = chunk.memory + out.value;
        rows(in, out, [&](int64_t from, int64_t to) {
            for (int p = 0; p < in.width; ++p) y[to + p] = Function::of(x[from + p]);
        });
    }

    void backward(const Chunk<T>& chunk) override {
        const Into into = this->into[0];
        if (into == Into::NOWHERE) return;
        const V<T>*x = chunk.memory + in.value, *y = chunk.memory + out.value, *g = chunk.memory + out.gradient;
        V<T>* target = chunk.memory + in.gradient;
        rows(in, out, [&](int64_t from, int64_t to) {
            for (int p = 0; p < in.width; ++p)
                hand<T>(target[from + p], Function::slope(x[from + p], y[to + p], g[to + p]), into);
        });
    }
};

template <typename T> struct Rectified {
    static V<T> of(V<T> x) { return rectified<T>(x); }
    static V<T> slope(V<T> x, V<T>, V<T> g) { return x > 0 ? g : V<T>{}; }
};

template <typename T> struct Sigmoid {
    static V<T> of(V<T> x) { return sigmoid<T>(x); }
    static V<T> slope(V<T>, V<T> y, V<T> g) { return g * y * (1 - y); }
};

// x·Φ(x)
template <typename T> struct Gelu {
    static V<T> of(V<T> x) {
        V<T> bell;
        return x * normal<T>(x, bell);
    }
    static V<T> slope(V<T> x, V<T>, V<T> g) {
        V<T> bell;
        const V<T> share = normal<T>(x, bell);
        return g * (share + x * bell * T(0.39894228040143267794));
    }
};

// Max-pool by 2 along every axis longer than 1; a gradient goes to the first of a window's largest.
template <typename T> struct Pool : Layer<T> {
    Value in, out;
    int step_y = 1, step_x = 1;

    void settle(const std::vector<Value>& values, int64_t) override {
        in = values[this->inputs[0]], out = values[this->output];
        step_y = in.height > out.height ? 2 : 1, step_x = in.width > out.width ? 2 : 1;
    }

    template <typename Work> void windows(Work work) const {
        for (int c = 0; c < out.channels; ++c)
            for (int y = 0; y < out.height; ++y)
                for (int x = 0; x < out.width; ++x)
                    work(c * in.plane() + y * step_y * in.row() + x * step_x, c * out.plane() + y * out.row() + x);
    }

    template <typename Work> void window(int64_t first, Work work) const {
        for (int y = 0; y < step_y; ++y)
            for (int x = 0; x < step_x; ++x) work(first + y * in.row() + x);
    }

    void forward(const Chunk<T>& chunk) override {
        const V<T>* x = chunk.memory + in.value;
        V<T>* y = chunk.memory + out.value;
        windows([&](int64_t from, int64_t to) {
            V<T> best = x[from];
            window(from, [&](int64_t at) { best = maximum<T>(x[at], best); });
            y[to] = best;
        });
    }

    void backward(const Chunk<T>& chunk) override {
        const Into into = this->into[0];
        if (into == Into::NOWHERE) return;
        const V<T>*x = chunk.memory + in.value, *y = chunk.memory + out.value, *g = chunk.memory + out.gradient;
        V<T>* target = chunk.memory + in.gradient;
        if (into == Into::FIRST)
            rows(in, in, [&](int64_t from, int64_t) {
                for (int p = 0; p < in.width; ++p) target[from + p] = V<T>{};
            });
        windows([&](int64_t from, int64_t to) {
            V<T> left = g[to];
            window(from, [&](int64_t at) {
                target[at] += x[at] == y[to] ? left : V<T>{};
                left = x[at] == y[to] ? V<T>{} : left;
            });
        });
    }
};

// Mean over the pixels of each channel.
template <typename T> struct Mean : Layer<T> {
    Value in, out;

    void settle(const std::vector<Value>& values, int64_t) override {
        in = values[this->inputs[0]], out = values[this->output];
    }

    void forward(const Chunk<T>& chunk) override {
        for (int c = 0; c < in.channels; ++c) {
            V<T> sum{};
            for (int y = 0; y < in.height; ++y)
                for (int x = 0; x < in.width; ++x) sum += chunk.memory[in.value + c * in.plane() + y * in.row() + x];
            chunk.memory[out.value + c * out.plane()] = sum / T(in.pixels());
        }
    }

    void backward(const Chunk<T>& chunk) override {
        const Into into = this->into[0];
        if (into == Into::NOWHERE) return;
        for (int c = 0; c < in.channels; ++c) {
            const V<T> g = chunk.memory[out.gradient + c * out.plane()] / T(in.pixels());
            for (int y = 0; y < in.height; ++y)
                for (int x = 0; x < in.width; ++x)
                    hand<T>(chunk.memory[in.gradient + c * in.plane() + y * in.row() + x], g, into);
        }
    }
};

// The sum of two activations.
template <typename T> struct Sum : Layer<T> {
    Value a, b, out;

    void settle(const std::vector<Value>& values, int64_t) override {
        a = values[this->inputs[0]], b = values[this->inputs[1]], out = values[this->output];
    }

    void forward(const Chunk<T>& chunk) override {
        V<T>* m = chunk.memory;
        for (int c = 0; c < out.channels; ++c)
            for (int y = 0; y < out.height; ++y)
                for (int x = 0; x < out.width; ++x)
                    m[out.value + c * out.plane() + y * out.row() + x] =
                        m[a.value + c * a.plane() + y * a.row() + x] + m[b.value + c * b.plane() + y * b.row() + x];
    }

    void backward(const Chunk<T>& chunk) override {
        V<T>* m = chunk.memory;
        const Value* parts[] = {&a, &b};
        for (int i = 0; i < 2; ++i) {
            if (this->into[i] == Into::NOWHERE) continue;
            rows(*parts[i], out, [&](int64_t to, int64_t from) {
                for (int p = 0; p < out.width; ++p)
                    hand<T>(m[parts[i]->gradient + to + p], m[out.gradient + from + p], this->into[i]);
            });
        }
    }
};

// Adds a number of its own to every channel of every pixel; table [channels, pixels].
template <typename T> struct Table : Layer<T> {
    Weight table;
    Value in, out;

    void settle(const std::vector<Value>& values, int64_t) override {
        in = values[this->inputs[0]], out = values[this->output];
    }

    void forward(const Chunk<T>& chunk) override {
        const T* t = chunk.weight(table);
        rows(in, out, [&](int64_t from, int64_t to) {
            for (int p = 0; p < in.width; ++p)
                chunk.memory[out.value + to + p] = chunk.memory[in.value + from + p] + *t++;
        });
    }

    void backward(const Chunk<T>& chunk) override {
        T* t = chunk.trains(table) ? chunk.gradient(table) : nullptr;
        rows(in, out, [&](int64_t from, int64_t to) {
            for (int p = 0; p < in.width; ++p) {
                const V<T> g = chunk.memory[out.gradient + to + p];
                if (t) *t++ += total<T>(g);
                if (this->into[0] != Into::NOWHERE) hand<T>(chunk.memory[in.gradient + from + p], g, this->into[0]);
            }
        });
    }
};

// Cuts an image into patches, whose pixels become channels: [C, H, W] → [C·tall·broad, H/tall, W/broad].
template <typename T> struct Patches : Layer<T> {
    int tall, broad;
    Value in, out;

    void settle(const std::vector<Value>& values, int64_t) override {
        in = values[this->inputs[0]], out = values[this->output];
    }

    template <typename Work> void pairs(Work work) const {
        for (int c = 0; c < out.channels; ++c) {
            const int64_t corner = c / (tall * broad) * in.plane() + c / broad % tall * in.row() + c % broad;
            for (int y = 0; y < out.height; ++y)
                for (int x = 0; x < out.width; ++x)
                    work(corner + int64_t(y) * tall * in.row() + int64_t(x) * broad,
                         c * out.plane() + y * out.row() + x);
        }
    }

    void forward(const Chunk<T>& chunk) override {
        pairs([&](int64_t from, int64_t to) { chunk.memory[out.value + to] = chunk.memory[in.value + from]; });
    }

    void backward(const Chunk<T>& chunk) override {
        if (this->into[0] == Into::NOWHERE) return;
        pairs([&](int64_t from, int64_t to) {
            hand<T>(chunk.memory[in.gradient + from], chunk.memory[out.gradient + to], this->into[0]);
        });
    }
};

// Every so many rows and columns, from the first on: [C, H, W] → [C, ⌈H/down⌉, ⌈W/across⌉].
template <typename T> struct Stride : Layer<T> {
    int down, across;
    Value in, out;

    void settle(const std::vector<Value>& values, int64_t) override {
        in = values[this->inputs[0]], out = values[this->output];
    }

    void forward(const Chunk<T>& chunk) override {
        V<T>* m = chunk.memory;
        for (int c = 0; c < out.channels; ++c)
            for (int y = 0; y < out.height; ++y)
                for (int x = 0; x < out.width; ++x)
                    m[out.value + c * out.plane() + y * out.row() + x] =
                        m[in.value + c * in.plane() + y * down * in.row() + x * across];
    }

    void backward(const Chunk<T>& chunk) override {
        if (this->into[0] == Into::NOWHERE) return;
        V<T>* m = chunk.memory;
        for (int c = 0; c < in.channels; ++c)
            for (int y = 0; y < in.height; ++y)
                for (int x = 0; x < in.width; ++x) {
                    const int64_t from = out.gradient + c * out.plane() + y / down * out.row() + x / across;
                    hand<T>(m[in.gradient + c * in.plane() + y * in.row() + x],
                            y % down || x % across ? V<T>{} : m[from], this->into[0]);
                }
    }
};

// x·(w − 1), with one w [channels] for all pixels of a channel.
template <typename T> struct Rescale : Layer<T> {
    Value in, by, out;

    void settle(const std::vector<Value>& values, int64_t) override {
        in = values[this->inputs[0]], by = values[this->inputs[1]], out = values[this->output];
    }

    void forward(const Chunk<T>& chunk) override {
        V<T>* m = chunk.memory;
        for (int c = 0; c < in.channels; ++c) {
            const V<T> factor = m[by.value + c * by.plane()] - 1;
            for (int y = 0; y < in.height; ++y)
                for (int x = 0; x < in.width; ++x)
                    m[out.value + c * out.plane() + y * out.row() + x] =
                        m[in.value + c * in.plane() + y * in.row() + x] * factor;
        }
    }

    void backward(const Chunk<T>& chunk) override {
        V<T>* m = chunk.memory;
        for (int c = 0; c < in.channels; ++c) {
            const V<T> factor = m[by.value + c * by.plane()] - 1;
            V<T> sum{};
            for (int y = 0; y < in.height; ++y)
                for (int x = 0; x < in.width; ++x) {
                    const V<T> g = m[out.gradient + c * out.plane() + y * out.row() + x];
                    const int64_t at = c * in.plane() + y * in.row() + x;
                    sum += g * m[in.value + at];
                    if (this->into[0] != Into::NOWHERE) hand<T>(m[in.gradient + at], g * factor, this->into[0]);
                }
            if (this->into[1] != Into::NOWHERE) hand<T>(m[by.gradient + c * by.plane()], sum, this->into[1]);
        }
    }
};

// tanh(s)·(n − x), with one number s.
template <typename T> struct Difference : Layer<T> {
    Weight amount;
    Value n, in, out;

    void settle(const std::vector<Value>& values, int64_t) override {
        n = values[this->inputs[0]], in = values[this->inputs[1]], out = values[this->output];
    }

    void forward(const Chunk<T>& chunk) override {
        const T share = std::tanh(*chunk.weight(amount));
        V<T>* m = chunk.memory;
        for (int c = 0; c < in.channels; ++c)
            for (int y = 0; y < in.height; ++y)
                for (int x = 0; x < in.width; ++x)
                    m[out.value + c * out.plane() + y * out.row() + x] =
                        share * (m[n.value + c * n.plane() + y * n.row() + x] -
                                 m[in.value + c * in.plane() + y * in.row() + x]);
    }

    void backward(const Chunk<T>& chunk) override {
        const T share = std::tanh(*chunk.weight(amount));
        V<T>*m = chunk.memory, sum{};
        for (int c = 0; c < in.channels; ++c)
            for (int y = 0; y < in.height; ++y)
                for (int x = 0; x < in.width; ++x) {
                    const V<T> g = m[out.gradient + c * out.plane() + y * out.row() + x];
                    const int64_t of_n = c * n.plane() + y * n.row() + x, of_x = c * in.plane() + y * in.row() + x;
                    sum += g * (m[n.value + of_n] - m[in.value + of_x]);
                    if (this->into[0] != Into::NOWHERE) hand<T>(m[n.gradient + of_n], share * g, this->into[0]);
                    if (this->into[1] != Into::NOWHERE) hand<T>(m[in.gradient + of_x], -share * g, this->into[1]);
                }
        if (chunk.trains(amount)) *chunk.gradient(amount) += (1 - share * share) * total<T>(sum);
    }
};

}  // namespace esper
