// Trains the networks of hosts on a CPU. Called from Python through ctypes.

#include "training.h"

#define ENGINE(T, SUFFIX)                                                                                             \
    void* engine_make_##SUFFIX(const int64_t* code) { return new esper::Engine<T>(code); }                            \
    void engine_free_##SUFFIX(void* engine) { delete static_cast<esper::Engine<T>*>(engine); }                        \
    void engine_train_##SUFFIX(void* engine, const T* inputs, const int64_t* targets, const int64_t* order,           \
                               int64_t count, int64_t batch, int64_t parts, T* const* weights, T* const* momenta,     \
                               const int64_t* sizes, const int64_t* groups, const int64_t* learns, const T* alphas,   \
                               double rate, double momentum, double limit, const T** gradients) {                     \
        auto& it = *static_cast<esper::Engine<T>*>(engine);                                                           \
        const esper::Parts<T> found{parts, weights, momenta, sizes, groups, learns};                                  \
        it.train({inputs, targets}, order, count, batch, found, alphas, T(rate), T(momentum), limit);                 \
        for (int64_t i = 0; i < parts; ++i) gradients[i] = it.gradient_of[i];                                         \
    }                                                                                                                 \
    double engine_evaluate_##SUFFIX(void* engine, const T* inputs, const int64_t* targets, int64_t count,             \
                                    int64_t parts, T* const* weights, const int64_t* sizes, const T* alphas,          \
                                    const int64_t* learns, const int64_t* switchable, int64_t limit,                  \
                                    int64_t* correct) {                                                               \
        auto& it = *static_cast<esper::Engine<T>*>(engine);                                                           \
        const esper::Parts<T> found{parts, weights, nullptr, sizes, nullptr, learns};                                 \
        return it.evaluate({inputs, targets}, count, found, alphas, switchable, int(limit), correct);                 \
    }

extern "C" {
int64_t engine_bytes() { return esper::BYTES; }
ENGINE(float, f32)
ENGINE(double, f64)
}
