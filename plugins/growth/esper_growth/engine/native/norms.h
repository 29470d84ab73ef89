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
    int64_t around[4] = {};  // offsets of a window's pixels from its first

    bool in_place() const override { return true; }
    int64_t scratch(const std::vector<Value>&) const override { return 2 * groups; }

    void settle(const std::vector<Value>& values, int64_t scratch) override {
        in = values[this->inputs[0]], out = values[this->output], kept = scratch;
        step_y = in.height > out.height ? 2 : 1, step_x = in.width > out.width ? 2 : 1;
        int64_t* at = around;
        for (int y = 0; y < step_y; ++y)
            for (int x = 0; x < step_x; ++x) *at++ = y * in.row() + x;
    }

    // Calls work(size of a window).
    template <typename Work> void sized(Work work) const {
        if (step_y * step_x == 1) work(std::integral_constant<int, 1>{});
        if (step_y * step_x == 2) work(std::integral_constant<int, 2>{});
        if (step_y * step_x == 4) work(std::integral_constant<int, 4>{});
    }

    void forward(const Chunk<T>& chunk) override {
        sized([&](auto size) { forward_by<decltype(size)::value>(chunk); });
    }

    void backward(const Chunk<T>& chunk) override {
        sized([&](auto size) { backward_by<decltype(size)::value>(chunk); });
    }

    template <int N> void forward_by(const Chunk<T>& chunk) const {
        const int share = in.channels / groups;
        const T count = T(share * in.pixels());
        const T *scale = chunk.weight(weight), *shift = chunk.weight(bias);
        for (int group = 0; group < groups; ++group) {
            const V<T>* x = chunk.memory + in.value + group * share * in.plane();
            const V<T> mean = summed(x, share, [](V<T> v) { return v; }) / count;
            const V<T> square = summed(x, share, [&](V<T> v) { return (v - mean) * (v - mean); });
            const V<T> rate = 1 / root<T>(square / count + eps);
            chunk.memory[kept + 2 * group] = mean, chunk.memory[kept + 2 * group + 1] = rate;
            for (int c = group * share; c < (group + 1) * share; ++c, x += in.plane()) {
                const V<T> slope = rate * scale[c], offset = shift[c] - mean * slope;
                V<T>* y = chunk.memory + out.value + c * out.plane();
                windows([&](int64_t first, int64_t to, int) {
                    V<T> best = x[first] * slope + offset;
                    for (int i = 1; i < N; ++i) {
                        const V<T> next = x[first + around[i]] * slope + offset;
                        // One pixel that is not a number makes its whole group so.
                        best = next > best ? next : best;
                    }
                    y[to] = relu ? rectified<T>(best) : best;
                });
            }
        }
    }

    // With x̂ the normalised input and g the gradient before scale and shift: gx = rate·(γg − mean(γg) − x̂·mean(γg·x̂)).
    // ReLU and pool let a gradient through to the first of a window's largest, if that is above 0.
    template <int N> void backward_by(const Chunk<T>& chunk) const {
        const int share = in.channels / groups;
        const T count = T(share * in.pixels());
        const T *scale = chunk.weight(weight), *shift = chunk.weight(bias);
        const Into into = this->into[0];
        const V<T> none{};
        for (int group = 0; group < groups; ++group) {
            const V<T> mean = chunk.memory[kept + 2 * group], rate = chunk.memory[kept + 2 * group + 1];
            V<T> sum{}, along{};
            for (int c = group * share; c < (group + 1) * share; ++c) {
                const V<T>* x = chunk.memory + in.value + c * in.plane();
                const V<T>* up = chunk.memory + out.gradient + c * out.plane();
                const V<T> slope = rate * scale[c], offset = shift[c] - mean * slope;
                V<T> shifts[SUMS]{}, scales[SUMS]{};
                windows([&](int64_t first, int64_t to, int place) {
                    V<T> chosen = x[first], best = chosen * slope + offset;
                    for (int i = 1; i < N; ++i) {
                        const V<T> value = x[first + around[i]], next = value * slope + offset;
                        chosen = next > best ? value : chosen;
                        best = next > best ? next : best;
                    }
                    const V<T> g = relu ? (best > 0 ? up[to] : none) : up[to];
                    shifts[place] += g;
                    scales[place] += g * (chosen - mean);
                });
                const V<T> of_shift = added(shifts), of_scale = added(scales) * rate;
                if (chunk.trains(weight)) {
                    chunk.gradient(weight)[c] += total<T>(of_scale);
                    chunk.gradient(bias)[c] += total<T>(of_shift);
                }
                sum += of_shift * scale[c];
                along += of_scale * scale[c];
            }
            if (into == Into::NOWHERE) continue;
            // Without the gradient of its own, a pixel gets tilt·x + base.
            const V<T> tilt = -rate * rate * along / count, base = -rate * sum / count - mean * tilt;
            for (int c = group * share; c < (group + 1) * share; ++c) {
                const V<T>* x = chunk.memory + in.value + c * in.plane();
                const V<T>* up = chunk.memory + out.gradient + c * out.plane();
                V<T>* target = chunk.memory + in.gradient + c * in.plane();
                const V<T> slope = rate * scale[c], offset = shift[c] - mean * slope;
                windows([&](int64_t first, int64_t to, int) {
                    V<T> value[N], before[N], best[N];
                    for (int i = 0; i < N; ++i) {
                        value[i] = x[first + around[i]];
                        before[i] = value[i] * slope + offset;
                        best[i] = before[i];
                        if (i) best[i] = before[i] > best[i - 1] ? before[i] : best[i - 1];
                    }
                    V<T> left = slope * up[to];
                    if (relu) left = best[N - 1] > 0 ? left : none;
                    for (int i = N - 1; i >= 0; --i) {
                        V<T> own = left;
                        if (i) {
                            own = before[i] > best[i - 1] ? left : none;
                            left = before[i] > best[i - 1] ? none : left;
                        }
                        hand<T>(target[first + around[i]], value[i] * tilt + base + own, into);
                    }
                });
                // What no window reached.
                const int used_y = out.height * step_y, used_x = out.width * step_x;
                for (int row = 0; row < in.height; ++row)
                    for (int p = row < used_y ? used_x : 0; p < in.width; ++p) {
                        const int64_t at = row * in.row() + p;
                        hand<T>(target[at], x[at] * tilt + base, into);
                    }
            }
        }
    }

    // Sums go on in several registers, for each addition waits for the one before.
    static constexpr int SUMS = 4;

    static V<T> added(const V<T>* sums) { return (sums[0] + sums[1]) + (sums[2] + sums[3]); }

    template <typename Of> V<T> summed(const V<T>* x, int share, Of of) const {
        V<T> sums[SUMS]{};
        for (int c = 0; c < share; ++c)
            for (int row = 0; row < in.height; ++row) {
                const V<T>* at = x + c * in.plane() + row * in.row();
                int p = 0;
                for (; p + SUMS <= in.width; p += SUMS)
                    for (int i = 0; i < SUMS; ++i) sums[i] += of(at[p + i]);
                for (; p < in.width; ++p) sums[0] += of(at[p]);
            }
        return added(sums);
    }

    // Calls work(where a window begins, where its output lies, which sums to add to), both places in one channel.
    template <typename Work> void windows(Work work) const {
        for (int row = 0; row < out.height; ++row) {
            const int64_t from = row * step_y * in.row(), to = row * out.row();
            int p = 0;
            for (; p + SUMS <= out.width; p += SUMS)
                for (int i = 0; i < SUMS; ++i) work(from + (p + i) * step_x, to + p + i, i);
            for (; p < out.width; ++p) work(from + int64_t(p) * step_x, to + p, 0);
        }
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
