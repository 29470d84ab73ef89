// Where activations, gradients and weights of a chunk of samples lie.

#pragma once

#include <cstdint>
#include <vector>

#include "lanes.h"

namespace esper {

// An activation [channels, height, width] with a border of zeros around each channel, so that convolutions need no
// special case at the edge. Offsets count vectors and point at the first number inside the border.
struct Value {
    int channels, height, width;
    int border_y = 0, border_x = 0;
    int64_t value = 0, gradient = 0;
    bool learns = false;

    int64_t row() const { return width + 2 * border_x; }
    // Channels a power of two apart would fall into the same few places of the cache.
    int64_t plane() const {
        const int64_t size = row() * (height + 2 * border_y);
        return size % 16 ? size : size + 4;
    }
    int64_t size() const { return plane() * channels; }
    int64_t inside() const { return row() * border_y + border_x; }
    int64_t pixels() const { return int64_t(height) * width; }
};

// A tensor of weights: which part of the network it belongs to, and where it begins there.
struct Weight {
    int part = -1;
    int64_t offset = 0;

    bool given() const { return part >= 0; }
};

// What the layers of a network work on.
template <typename T> struct Chunk {
    V<T>* memory;
    const T* const* weights;
    T* const* gradients;
    const bool* learns;
    const T* alphas;

    const T* weight(Weight w) const { return weights[w.part] + w.offset; }
    T* gradient(Weight w) const { return gradients[w.part] + w.offset; }
    bool trains(Weight w) const { return w.given() && learns[w.part]; }
};

// How a layer hands a gradient to an input: not at all, as the first that does, or on top of others.
enum class Into : int { NOWHERE, FIRST, MORE };

template <typename T> inline void hand(V<T>& target, V<T> gradient, Into into) {
    target = into == Into::MORE ? target + gradient : gradient;
}

template <typename T> struct Layer {
    std::vector<int> inputs;
    int output = -1;
    std::vector<Into> into;

    virtual ~Layer() = default;
    // Whether the gradient of the only input may be written over its value.
    virtual bool in_place() const { return false; }
    // The border that inputs need, and the gradient of the output.
    virtual void want(std::vector<Value>&) const {}
    // Vectors of memory of its own, kept from forward to backward.
    virtual int64_t scratch(const std::vector<Value>&) const { return 0; }
    // Once the network's memory is laid out.
    virtual void settle(const std::vector<Value>&, int64_t) {}
    // Whenever weights have changed.
    virtual void prepare(const Chunk<T>&) {}
    virtual void forward(const Chunk<T>&) = 0;
    virtual void backward(const Chunk<T>&) = 0;
};

// Calls work(offset in a, offset in b) for every row of two activations of the same shape.
template <typename Work> inline void rows(const Value& a, const Value& b, Work work) {
    for (int c = 0; c < a.channels; ++c)
        for (int y = 0; y < a.height; ++y) work(c * a.plane() + y * a.row(), c * b.plane() + y * b.row());
}

}  // namespace esper
