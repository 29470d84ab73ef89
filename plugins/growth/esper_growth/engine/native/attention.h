// Attention of the pixels of a row to each other, head by head, from [queries; keys; values] in the channels.

#pragma once

#include "memory.h"

namespace esper {

// fit[i, j] = q_i·k_j / √d (+ bias[j − i + L − 1]), y_i = Σ_j softmax_j(fit)[i, j]·v_j; bias [heads, 2L − 1] or none.
template <typename T> struct Attention : Layer<T> {
    int heads;
    Weight bias;
    Value in, out;
    int64_t kept = 0;  // weights [heads, L, L], then their gradients [L, L]

    int64_t scratch(const std::vector<Value>& values) const override {
        const int64_t length = values[this->inputs[0]].width;
        return (heads + 1) * length * length;
    }

    void settle(const std::vector<Value>& values, int64_t scratch) override {
        in = values[this->inputs[0]], out = values[this->output], kept = scratch;
    }

    int width() const { return out.channels / heads; }

    // Where the rows of queries (0), keys (1) or values (2) of a head begin.
    int64_t at(int what, int head) const { return (int64_t(what) * out.channels + head * width()) * in.plane(); }

    void forward(const Chunk<T>& chunk) override {
        const int length = in.width, d = width();
        const T scale = 1 / std::sqrt(T(d));
        for (int head = 0; head < heads; ++head) {
            const V<T>*x = chunk.memory + in.value, *q = x + at(0, head), *k = x + at(1, head), *v = x + at(2, head);
            const T* table = bias.given() ? chunk.weight(bias) + head * (2 * length - 1) : nullptr;
            V<T>* y = chunk.memory + out.value + head * d * out.plane();
            for (int i = 0; i < length; ++i) {
                V<T>* row = chunk.memory + kept + (int64_t(head) * length + i) * length;
                V<T> best{};
                for (int j = 0; j < length; ++j) {
                    V<T> fit{};
                    for (int c = 0; c < d; ++c) fit += q[c * in.plane() + i] * k[c * in.plane() + j];
                    fit *= scale;
                    if (table) fit += table[length - 1 - i + j];
                    row[j] = fit;
                    best = j ? maximum<T>(fit, best) : fit;
                }
                V<T> sum{};
                for (int j = 0; j < length; ++j) sum += row[j] = exponential<T>(row[j] - best);
                for (int j = 0; j < length; ++j) row[j] /= sum;
                for (int c = 0; c < d; ++c) {
                    V<T> mixed{};
                    for (int j = 0; j < length; ++j) mixed += row[j] * v[c * in.plane() + j];
                    y[c * out.plane() + i] = mixed;
                }
            }
        }
    }

    void backward(const Chunk<T>& chunk) override {
        const int length = in.width, d = width();
        const T scale = 1 / std::sqrt(T(d));
        const Into into = this->into[0];
        const bool learns = chunk.trains(bias);
        if (into == Into::NOWHERE && !learns) return;
        V<T>* slope = chunk.memory + kept + int64_t(heads) * length * length;
        for (int head = 0; head < heads; ++head) {
            const V<T>*x = chunk.memory + in.value, *q = x + at(0, head), *k = x + at(1, head), *v = x + at(2, head);
            const V<T>* g = chunk.memory + out.gradient + head * d * out.plane();
            const V<T>* weights = chunk.memory + kept + int64_t(head) * length * length;
            for (int i = 0; i < length; ++i) {
                V<T> along{};
                for (int j = 0; j < length; ++j) {
                    V<T> to_weight{};
                    for (int c = 0; c < d; ++c) to_weight += g[c * out.plane() + i] * v[c * in.plane() + j];
                    slope[i * length + j] = to_weight;
                    along += to_weight * weights[i * length + j];
                }
                for (int j = 0; j < length; ++j)
                    slope[i * length + j] = weights[i * length + j] * (slope[i * length + j] - along);
            }
            if (learns) {
                T* table = chunk.gradient(bias) + head * (2 * length - 1);
                for (int i = 0; i < length; ++i)
                    for (int j = 0; j < length; ++j) table[length - 1 - i + j] += total<T>(slope[i * length + j]);
            }
            if (into == Into::NOWHERE) continue;
            V<T>* target = chunk.memory + in.gradient;
            for (int c = 0; c < d; ++c)
                for (int i = 0; i < length; ++i) {
                    V<T> to_q{}, to_k{}, to_v{};
                    for (int j = 0; j < length; ++j) {
                        to_q += slope[i * length + j] * k[c * in.plane() + j];
                        to_k += slope[j * length + i] * q[c * in.plane() + j];
                        to_v += weights[j * length + i] * g[c * out.plane() + j];
                    }
                    hand<T>(target[at(0, head) + c * in.plane() + i], to_q * scale, into);
                    hand<T>(target[at(1, head) + c * in.plane() + i], to_k * scale, into);
                    hand<T>(target[at(2, head) + c * in.plane() + i], to_v, into);
                }
        }
    }
};

}  // namespace esper
