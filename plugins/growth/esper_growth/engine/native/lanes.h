// Vectors whose lanes are samples: everything in the engine is written for one sample, and done for a chunk of them.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace esper {

// TILE: pixels per tile of a product. A tile of 4 × TILE accumulators must fit the registers.
#if defined(__AVX512F__)
constexpr int BYTES = 64, TILE = 4;
#elif defined(__AVX__)
constexpr int BYTES = 32, TILE = 2;
#else
constexpr int BYTES = 16, TILE = 4;
#endif

template <typename T> struct Vector;
template <> struct Vector<float> {
    typedef float Real __attribute__((vector_size(BYTES)));
    typedef int32_t Whole __attribute__((vector_size(BYTES)));
};
template <> struct Vector<double> {
    typedef double Real __attribute__((vector_size(BYTES)));
    typedef int64_t Whole __attribute__((vector_size(BYTES)));
};

template <typename T> using V = typename Vector<T>::Real;
template <typename T> constexpr int LANES = BYTES / int(sizeof(T));

template <typename T> inline V<T> all(T value) { return value - V<T>{}; }

template <typename T> inline T total(V<T> x) {
    T sum = 0;
    for (int lane = 0; lane < LANES<T>; ++lane) sum += x[lane];
    return sum;
}

// shuffled: lane i of the result is lane from(i) of `a` and `b` side by side.
template <typename T, typename From, size_t... I>
inline V<T> shuffled(V<T> a, V<T> b, From, std::index_sequence<I...>) {
    return __builtin_shufflevector(a, b, From::of(I)...);
}

template <int L, int STRIDE> struct Straight {
    static constexpr int of(int i) { return i & STRIDE ? L + i : i; }
};
template <int L, int STRIDE> struct Crossed {
    static constexpr int of(int i) { return i & STRIDE ? L + (i ^ STRIDE) : i ^ STRIDE; }
};
template <int L, int STRIDE> struct Low {
    static constexpr int of(int i) { return i & STRIDE ? L + (i ^ STRIDE) : i; }
};
template <int L, int STRIDE> struct High {
    static constexpr int of(int i) { return i & STRIDE ? L + i : i ^ STRIDE; }
};

template <typename T, template <int, int> class From, int STRIDE> inline V<T> shuffle(V<T> a, V<T> b) {
    return shuffled<T>(a, b, From<LANES<T>, STRIDE>{}, std::make_index_sequence<LANES<T>>{});
}

// Adds up the lanes of LANES vectors: lane i of the result is the total of x[i].
template <typename T, int STRIDE = LANES<T> / 2> inline V<T> totals(V<T>* x) {
    for (int i = 0; i < STRIDE; ++i)
        x[i] = shuffle<T, Straight, STRIDE>(x[i], x[i + STRIDE]) + shuffle<T, Crossed, STRIDE>(x[i], x[i + STRIDE]);
    if constexpr (STRIDE == 1)
        return x[0];
    else
        return totals<T, STRIDE / 2>(x);
}

// Exchanges rows and lanes of LANES vectors in place.
template <typename T, int STRIDE = LANES<T> / 2> inline void transpose(V<T>* x) {
    for (int i = 0; i < LANES<T>; ++i)
        if (!(i & STRIDE)) {
            V<T> low = shuffle<T, Low, STRIDE>(x[i], x[i + STRIDE]);
            x[i + STRIDE] = shuffle<T, High, STRIDE>(x[i], x[i + STRIDE]);
            x[i] = low;
        }
    if constexpr (STRIDE > 1) transpose<T, STRIDE / 2>(x);
}

template <typename T> inline V<T> maximum(V<T> a, V<T> b) { return a > b ? a : b; }
template <typename T> inline V<T> minimum(V<T> a, V<T> b) { return a < b ? a : b; }

template <typename T> inline V<T> root(V<T> x) {
    V<T> y;
    for (int lane = 0; lane < LANES<T>; ++lane) y[lane] = std::sqrt(x[lane]);
    return y;
}

template <typename T> inline V<T> logarithm(V<T> x) {
    V<T> y;
    for (int lane = 0; lane < LANES<T>; ++lane) y[lane] = std::log(x[lane]);
    return y;
}

// x = n ln 2 + r with whole n, |r| <= ln 2 / 2; returns 2^n and sets `less` to exp(r) − 1, a Taylor series that is exact
// to the last bit: the next term is below 2^-24 (float) or 2^-53 (double) of r.
template <typename T> inline V<T> powers(V<T> x, V<T>& less) {
    constexpr bool wide = std::is_same<T, double>::value;
    constexpr int bits = wide ? 52 : 23, bias = wide ? 1023 : 127, degree = wide ? 13 : 7;
    constexpr T limit = wide ? T(708) : T(87);
    // ln 2 in two parts, the first with so few bits that its product with n is exact.
    constexpr T high = wide ? T(0x1.62e42feep-1) : T(0x1.63p-1);
    constexpr T low = wide ? T(1.90821492927058770002e-10) : T(-2.12194440e-4);
    x = minimum<T>(maximum<T>(x, all<T>(-limit)), all<T>(limit));
    // Adding and taking away a large number rounds to a whole one.
    constexpr T magic = wide ? T(0x1.8p52) : T(0x1.8p23);
    V<T> n = (x * T(1.44269504088896340736) + magic) - magic;
    V<T> r = (x - n * high) - n * low;
    V<T> sum = all<T>(T(1));
    for (int i = degree; i > 1; --i) sum = 1 + sum * r * (T(1) / T(i));
    less = sum * r;
    typename Vector<T>::Whole whole = __builtin_convertvector(n, typename Vector<T>::Whole);
    return (V<T>)((whole + bias) << bits);
}

template <typename T> inline V<T> exponential(V<T> x) {
    V<T> less, scale = powers<T>(x, less);
    V<T> y = scale + scale * less;
    return x != x ? x : y;
}

template <typename T> inline V<T> sigmoid(V<T> x) { return 1 / (1 + exponential<T>(-x)); }

// From exp(2|x|) − 1, which keeps its digits for small x.
template <typename T> inline V<T> tangent(V<T> x) {
    V<T> size = x < 0 ? -x : x, less;
    V<T> scale = powers<T>(minimum<T>(2 * size, all<T>(T(40))), less);
    V<T> grown = (scale - 1) + scale * less;
    V<T> y = grown / (grown + 2);
    y = x < 0 ? -y : y;
    return x != x ? x : y;
}

// Φ, the normal distribution function.
template <typename T> inline V<T> normal(V<T> x) {
    V<T> y;
    for (int lane = 0; lane < LANES<T>; ++lane) y[lane] = T(0.5) * std::erfc(x[lane] * T(-0.70710678118654752440));
    return y;
}

}  // namespace esper
