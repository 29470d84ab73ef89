// Epochs of training and validation: a chunk of samples forward and backward through the whole network at a time.

#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "network.h"

namespace esper {

// Samples [S, C, H, W] and class indices [S], where they lie.
template <typename T> struct Samples {
    const T* inputs;
    const int64_t* targets;
};

// Weights by part, and how each part takes part.
template <typename T> struct Parts {
    int64_t count;
    T* const* weights;
    T* const* momenta;
    const int64_t* sizes;
    const int64_t* groups;  // gradients of equal number are clipped together
    const int64_t* learns;
};

// A network of one shape, and what working on it takes; every host of that shape borrows it.
template <typename T> struct Engine {
    Network<T> network;
    std::vector<int64_t> places;  // of every number of a sample in memory
    std::vector<std::vector<T>> gradients;
    std::vector<T*> gradient_of;
    std::vector<const T*> weight_of;
    std::vector<char> learns;
    std::vector<Join<T>*> joins;  // by layer; null elsewhere
    Chunk<T> chunk{};

    const int64_t number = next();  // tells engines apart: an address is used again

    static int64_t next() {
        static int64_t made = 0;
        return ++made;
    }

    explicit Engine(const int64_t* code) : network(Reader{code}) {
        const Value& in = network.values[0];
        for (int c = 0; c < in.channels; ++c)
            for (int y = 0; y < in.height; ++y)
                for (int x = 0; x < in.width; ++x) places.push_back(in.value + c * in.plane() + y * in.row() + x);
        for (auto& layer : network.layers) joins.push_back(dynamic_cast<Join<T>*>(layer.get()));
    }

    // Borders must be zero, and nothing is ever written there: memory is cleared when another network used it last.
    V<T>* memory() {
        static thread_local void* kept = nullptr;
        static thread_local size_t room = 0;
        static thread_local int64_t owner = 0;
        const size_t needed = size_t(network.size) * sizeof(V<T>);
        if (needed > room) {
            std::free(kept);
            room = (needed + 4095) / 4096 * 4096, owner = 0;
            kept = std::aligned_alloc(4096, room);
            if (!kept) throw std::bad_alloc();
        }
        if (owner != number) std::memset(kept, 0, needed), owner = number;
        return static_cast<V<T>*>(kept);
    }

    void begin(const Parts<T>& parts, const T* alphas) {
        weight_of.assign(parts.weights, parts.weights + parts.count);
        learns.assign(parts.learns, parts.learns + parts.count);
        gradients.resize(size_t(parts.count)), gradient_of.resize(size_t(parts.count));
        for (size_t i = 0; i < gradients.size(); ++i)
            gradients[i].resize(size_t(parts.sizes[i])), gradient_of[i] = gradients[i].data();
        chunk = {memory(), weight_of.data(), gradient_of.data(), reinterpret_cast<const bool*>(learns.data()), alphas};
    }

    void prepare() {
        for (auto& layer : network.layers) layer->prepare(chunk);
    }

    // Lanes without a sample repeat the first one; nothing is learned from them.
    void fill(const T* inputs, const int64_t* rows, int count) {
        constexpr int L = LANES<T>;
        const int64_t size = int64_t(places.size());
        const T* from[L];
        for (int lane = 0; lane < L; ++lane) from[lane] = inputs + rows[lane < count ? lane : 0] * size;
        int64_t i = 0;
        for (; i + L <= size; i += L) {
            V<T> block[L];
            for (int lane = 0; lane < L; ++lane) std::memcpy(&block[lane], from[lane] + i, sizeof(V<T>));
            transpose<T>(block);
            for (int k = 0; k < L; ++k) chunk.memory[places[i + k]] = block[k];
        }
        for (; i < size; ++i)
            for (int lane = 0; lane < L; ++lane) chunk.memory[places[i]][lane] = from[lane][i];
    }

    // Softmax cross-entropy of every lane; its gradient, divided by `batch`, is left at the logits if wanted.
    V<T> cross_entropy(const int64_t* targets, const int64_t* rows, int count, T batch, bool wanted) {
        const Value& logits = network.values[network.logits];
        const V<T>* x = chunk.memory + logits.value;
        V<T>* g = chunk.memory + logits.gradient;
        V<T> best = x[0], sum{}, chosen{};
        for (int k = 1; k < logits.channels; ++k) best = maximum<T>(x[k * logits.plane()], best);
        for (int k = 0; k < logits.channels; ++k) sum += exponential<T>(x[k * logits.plane()] - best);
        V<T> live{};
        for (int lane = 0; lane < count; ++lane) live[lane] = T(1);
        for (int k = 0; k < logits.channels; ++k) {
            const V<T> logit = x[k * logits.plane()];
            V<T> right{};
            for (int lane = 0; lane < count; ++lane) right[lane] = targets[rows[lane]] == k ? T(1) : T(0);
            chosen = right > 0 ? logit : chosen;
            if (wanted) g[k * logits.plane()] = (exponential<T>(logit - best) / sum - right) * live / batch;
        }
        return best - chosen + logarithm<T>(sum);
    }

    void step(const Parts<T>& parts, T rate, T momentum, double limit) {
        int64_t last = 0;
        for (int64_t i = 0; i < parts.count; ++i) last = std::max(last, parts.groups[i]);
        std::vector<double> squares(size_t(last) + 1);
        for (int64_t i = 0; i < parts.count; ++i)
            if (learns[i]) squares[parts.groups[i]] += square(gradient_of[i], parts.sizes[i]);
        for (int64_t i = 0; i < parts.count; ++i) {
            if (!learns[i]) continue;
            const double full = limit / (std::sqrt(squares[parts.groups[i]]) + 1e-6);
            // Not a minimum: what is not a number stays so.
            const T factor = limit > 0 && !(full >= 1) ? T(full) : T(1);
            T *w = parts.weights[i], *m = parts.momenta[i], *g = gradient_of[i];
            for (int64_t k = 0; k < parts.sizes[i]; ++k) {
                g[k] *= factor;
                m[k] = momentum * m[k] + g[k];
                w[k] -= rate * m[k];
            }
        }
    }

    static double square(const T* x, int64_t size) {
        // Eight sums, so that the compiler may use vectors and the order is still fixed.
        double sums[8] = {};
        int64_t i = 0;
        for (; i + 8 <= size; i += 8)
            for (int k = 0; k < 8; ++k) sums[k] += double(x[i + k]) * double(x[i + k]);
        for (; i < size; ++i) sums[0] += double(x[i]) * double(x[i]);
        double sum = 0;
        for (double part : sums) sum += part;
        return sum;
    }

    void train(const Samples<T>& samples, const int64_t* order, int64_t count, int64_t batch, const Parts<T>& parts,
               const T* alphas, T rate, T momentum, double limit) {
        begin(parts, alphas);
        for (int64_t first = 0; first < count; first += batch) {
            const int64_t size = std::min(batch, count - first);
            prepare();
            for (auto& gradient : gradients) std::fill(gradient.begin(), gradient.end(), T(0));
            for (int64_t done = 0; done < size; done += LANES<T>) {
                const int64_t* rows = order + first + done;
                const int lanes = int(std::min<int64_t>(LANES<T>, size - done));
                fill(samples.inputs, rows, lanes);
                for (auto& layer : network.layers) layer->forward(chunk);
                cross_entropy(samples.targets, rows, lanes, T(size), true);
                for (auto layer = network.layers.rbegin(); layer != network.layers.rend(); ++layer)
                    (*layer)->backward(chunk);
            }
            step(parts, rate, momentum, limit);
        }
    }

    // What is counted of the network with every seed on, and with each set of switchable seeds off.
    struct Counts {
        const int64_t *rows, *targets, *switchable;
        int lanes, limit;
        double loss;
        int64_t* correct;
    };

    void run(size_t layer, int off, Counts& counts, int64_t*& variant) {
        for (; layer < network.layers.size(); ++layer) {
            network.layers[layer]->forward(chunk);
            Join<T>* join = joins[layer];
            if (join && !join->isolated && off < counts.limit && counts.switchable[join->slot]) {
                run(layer + 1, off, counts, variant);
                join->pass(chunk);
                ++off;
            }
        }
        const Value& logits = network.values[network.logits];
        if (variant == counts.correct) {
            const V<T> loss = cross_entropy(counts.targets, counts.rows, counts.lanes, T(1), false);
            for (int lane = 0; lane < counts.lanes; ++lane) counts.loss += double(loss[lane]);
        }
        for (int lane = 0; lane < counts.lanes; ++lane) {
            int64_t chosen = 0;
            T best = chunk.memory[logits.value][lane];
            for (int k = 1; k < logits.channels; ++k) {
                const T logit = chunk.memory[logits.value + k * logits.plane()][lane];
                if (logit > best || (logit != logit && best == best)) best = logit, chosen = k;
            }
            *variant += chosen == counts.targets[counts.rows[lane]];
        }
        ++variant;
    }

    double evaluate(const Samples<T>& samples, int64_t count, const Parts<T>& parts, const T* alphas,
                    const int64_t* switchable, int limit, int64_t* correct) {
        begin(parts, alphas);
        prepare();
        Counts counts{nullptr, samples.targets, switchable, 0, limit, 0, correct};
        for (int64_t done = 0; done < count; done += LANES<T>) {
            int64_t rows[LANES<T>];
            for (int lane = 0; lane < LANES<T>; ++lane) rows[lane] = done + lane;
            counts.rows = rows, counts.lanes = int(std::min<int64_t>(LANES<T>, count - done));
            fill(samples.inputs, rows, counts.lanes);
            int64_t* variant = correct;
            run(0, 0, counts, variant);
        }
        return counts.loss / double(count);
    }
};

}  // namespace esper
