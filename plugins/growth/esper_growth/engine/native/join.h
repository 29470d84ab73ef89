// How a seed's branch joins the host's activation.

#pragma once

#include "memory.h"

namespace esper {

enum class Way : int { ADD, MULTIPLY, GATE };

// y = h + α·c, where c is f, h·tanh(f) or w·f, with f scaled down, per sample, where its RMS exceeds that of h.
// A training seed is isolated: y is h, and the seed learns as if α were 1 and h a constant. Its output is then h itself.
template <typename T> struct Join : Layer<T> {
    Way way;
    bool isolated;
    int slot;
    Value h, f, w, out;
    int64_t kept = 0;  // the scale of f, and the mean squares of h and f

    int64_t scratch(const std::vector<Value>&) const override { return 3; }

    void settle(const std::vector<Value>& values, int64_t scratch) override {
        h = values[this->inputs[0]], f = values[this->inputs[1]], out = values[this->output], kept = scratch;
        if (way == Way::GATE) w = values[this->inputs[2]];
    }

    static T tiny() { return T(1e-12); }

    // Calls work(offset in h, offset in f, offset in the output) for every number.
    template <typename Work> void each(Work work) const {
        for (int c = 0; c < h.channels; ++c)
            for (int y = 0; y < h.height; ++y) {
                const int64_t of_h = c * h.plane() + y * h.row(), of_f = c * f.plane() + y * f.row();
                const int64_t of_y = c * out.plane() + y * out.row();
                for (int x = 0; x < h.width; ++x) work(of_h + x, of_f + x, of_y + x);
            }
    }

    void forward(const Chunk<T>& chunk) override {
        V<T>* m = chunk.memory;
        const V<T>*host = m + h.value, *branch = m + f.value;
        V<T> power{}, limit{};
        each([&](int64_t at_h, int64_t at_f, int64_t) {
            limit += host[at_h] * host[at_h];
            power += branch[at_f] * branch[at_f];
        });
        const T count = T(h.channels * h.pixels());
        power = power / count + tiny(), limit = limit / count + tiny();
        const V<T> full = root<T>(limit / power), scale = minimum<T>(full, all<T>(1));
        m[kept] = scale;
        // Infinite where the scale is 1 whatever f and h are: then no gradient flows through it.
        m[kept + 1] = full > 1 ? all<T>(T(INFINITY)) : limit * count;
        m[kept + 2] = full > 1 ? all<T>(T(INFINITY)) : power * count;
        if (isolated) return;
        const T alpha = chunk.alphas[slot];
        V<T>* y = m + out.value;
        if (way == Way::MULTIPLY) {
            each([&](int64_t at_h, int64_t at_f, int64_t at_y) {
                y[at_y] = host[at_h] + alpha * (host[at_h] * tangent<T>(branch[at_f] * scale));
            });
            return;
        }
        const V<T> factor = way == Way::GATE ? alpha * m[w.value] * scale : alpha * scale;
        each([&](int64_t at_h, int64_t at_f, int64_t at_y) { y[at_y] = host[at_h] + branch[at_f] * factor; });
    }

    void backward(const Chunk<T>& chunk) override {
        V<T>* m = chunk.memory;
        const V<T>*host = m + h.value, *branch = m + f.value, *up = m + out.gradient;
        const V<T> scale = m[kept];
        const T alpha = isolated ? T(1) : chunk.alphas[slot];
        const bool gated = way == Way::GATE, product = way == Way::MULTIPLY;
        const V<T> gate = gated ? m[w.value] : all<T>(1);
        // The gradient of the scaled branch, s·f.
        auto slope = [&](int64_t at_h, int64_t at_f, int64_t at_y) {
            if (!product) return alpha * up[at_y] * gate;
            const V<T> t = tangent<T>(branch[at_f] * scale);
            return alpha * up[at_y] * host[at_h] * (1 - t * t);
        };
        V<T> along{}, to_gate{};
        each([&](int64_t at_h, int64_t at_f, int64_t at_y) {
            along += slope(at_h, at_f, at_y) * branch[at_f];
            if (gated) to_gate += alpha * up[at_y] * branch[at_f];
        });
        if (gated && this->into[2] != Into::NOWHERE) hand<T>(m[w.gradient], to_gate * scale, this->into[2]);
        const V<T> of_h = along * scale / m[kept + 1], of_f = along * scale / m[kept + 2];
        const Into to_h = this->into[0], to_f = this->into[1];
        each([&](int64_t at_h, int64_t at_f, int64_t at_y) {
            const V<T> g = slope(at_h, at_f, at_y);
            if (to_f != Into::NOWHERE) hand<T>(m[f.gradient + at_f], g * scale - of_f * branch[at_f], to_f);
            if (to_h == Into::NOWHERE) return;
            V<T> sum = up[at_y] + of_h * host[at_h];
            if (product) sum += alpha * up[at_y] * tangent<T>(branch[at_f] * scale);
            hand<T>(m[h.gradient + at_h], sum, to_h);
        });
    }

    // Switched off, the host's activation passes as it is.
    void pass(const Chunk<T>& chunk) const {
        V<T>* m = chunk.memory;
        each([&](int64_t at_h, int64_t, int64_t at_y) { m[out.value + at_y] = m[h.value + at_h]; });
    }
};

}  // namespace esper
