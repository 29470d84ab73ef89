// A network as a list of layers, read from numbers that `graph.py` writes.

#pragma once

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <vector>

#include "attention.h"
#include "convolution.h"
#include "join.h"
#include "norms.h"
#include "pointwise.h"

namespace esper {

// In the order of `graph.Kind`.
enum class Kind : int64_t {
    CONVOLUTION, DEPTHWISE, NORM, CHANNEL_NORM, RELU, GELU, SIGMOID, POOL, MEAN, SUM, TABLE, PATCHES, RESCALE,
    DIFFERENCE, ATTENTION, JOIN, STRIDE
};

struct Reader {
    const int64_t* at;

    int64_t number() { return *at++; }
    int small() { return int(number()); }
    double real() {
        double value;
        static_assert(sizeof value == sizeof *at, "numbers are as wide as integers");
        __builtin_memcpy(&value, at++, sizeof value);
        return value;
    }
    Weight weight() {
        Weight w;
        w.part = small(), w.offset = number();
        return w;
    }
};

template <typename T> std::unique_ptr<Layer<T>> layer(Kind kind, Reader& reader) {
    switch (kind) {
        case Kind::CONVOLUTION: {
            auto made = std::make_unique<Convolution<T>>();
            made->weight = reader.weight(), made->bias = reader.weight();
            made->tall = reader.small(), made->broad = reader.small();
            return made;
        }
        case Kind::DEPTHWISE: {
            auto made = std::make_unique<Depthwise<T>>();
            made->weight = reader.weight();
            made->tall = reader.small(), made->broad = reader.small();
            return made;
        }
        case Kind::NORM: {
            auto made = std::make_unique<Norm<T>>();
            made->weight = reader.weight(), made->bias = reader.weight();
            made->groups = reader.small(), made->eps = T(reader.real());
            made->relu = reader.number(), made->pool = reader.number();
            return made;
        }
        case Kind::CHANNEL_NORM: {
            auto made = std::make_unique<ChannelNorm<T>>();
            made->eps = T(reader.real());
            return made;
        }
        case Kind::RELU: return std::make_unique<Pointwise<T, Rectified<T>>>();
        case Kind::GELU: return std::make_unique<Pointwise<T, Gelu<T>>>();
        case Kind::SIGMOID: return std::make_unique<Pointwise<T, Sigmoid<T>>>();
        case Kind::POOL: return std::make_unique<Pool<T>>();
        case Kind::MEAN: return std::make_unique<Mean<T>>();
        case Kind::SUM: return std::make_unique<Sum<T>>();
        case Kind::TABLE: {
            auto made = std::make_unique<Table<T>>();
            made->table = reader.weight();
            return made;
        }
        case Kind::PATCHES: {
            auto made = std::make_unique<Patches<T>>();
            made->tall = reader.small(), made->broad = reader.small();
            return made;
        }
        case Kind::RESCALE: return std::make_unique<Rescale<T>>();
        case Kind::DIFFERENCE: {
            auto made = std::make_unique<Difference<T>>();
            made->amount = reader.weight();
            return made;
        }
        case Kind::ATTENTION: {
            auto made = std::make_unique<Attention<T>>();
            made->heads = reader.small(), made->bias = reader.weight();
            return made;
        }
        case Kind::STRIDE: {
            auto made = std::make_unique<Stride<T>>();
            made->down = reader.small(), made->across = reader.small();
            return made;
        }
        case Kind::JOIN: {
            auto made = std::make_unique<Join<T>>();
            made->way = Way(reader.small()), made->isolated = reader.number(), made->slot = reader.small();
            return made;
        }
    }
    throw std::invalid_argument("no such layer");
}

// Value 0 is the input, the last layer's output the logits.
template <typename T> struct Network {
    std::vector<Value> values;
    std::vector<std::unique_ptr<Layer<T>>> layers;
    int64_t size = 0;  // vectors of memory
    int logits = 0;

    explicit Network(Reader reader) {
        values.resize(size_t(reader.number()));
        for (Value& value : values) {
            value.channels = reader.small(), value.height = reader.small(), value.width = reader.small();
            value.learns = reader.number();
        }
        for (int64_t left = reader.number(); left > 0; --left) {
            const Kind kind = Kind(reader.number());
            std::vector<int> inputs(size_t(reader.number()));
            std::vector<bool> detached(inputs.size());
            for (size_t i = 0; i < inputs.size(); ++i) inputs[i] = reader.small(), detached[i] = reader.number();
            const int output = reader.small();
            layers.push_back(layer<T>(kind, reader));
            layers.back()->inputs = inputs, layers.back()->output = output;
            for (bool alone : detached) layers.back()->into.push_back(alone ? Into::NOWHERE : Into::MORE);
        }
        logits = layers.back()->output;
        lay_out();
    }

    void lay_out() {
        std::vector<int> readers(values.size());
        for (auto& each : layers) {
            each->want(values);
            for (int input : each->inputs) ++readers[input];
        }
        std::vector<bool> shared(values.size());
        for (auto& each : layers)
            if (each->in_place() && each->inputs[0] && readers[each->inputs[0]] == 1) shared[each->inputs[0]] = true;
        for (size_t i = 0; i < values.size(); ++i) {
            values[i].value = values[i].gradient = size + values[i].inside();
            size += values[i].size();
            if (!values[i].learns || shared[i]) continue;
            values[i].gradient = size + values[i].inside();
            size += values[i].size();
        }
        std::vector<bool> reached(values.size());
        for (auto each = layers.rbegin(); each != layers.rend(); ++each)
            for (size_t i = 0; i < (*each)->inputs.size(); ++i) {
                const int input = (*each)->inputs[i];
                Into& into = (*each)->into[i];
                if (!values[input].learns) into = Into::NOWHERE;
                if (into == Into::NOWHERE) continue;
                if (!reached[input]) into = Into::FIRST;
                reached[input] = true;
            }
        for (auto& each : layers) {
            each->settle(values, size);
            size += each->scratch(values);
        }
    }
};

}  // namespace esper
