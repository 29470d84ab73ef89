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

// What is not a number wins.
template <typename T> inline V<T> maximum(V<T> a, V<T> b) { return (a > b) | (a != a) ? a : b; }
template <typename T> inline V<T> minimum(V<T> a, V<T> b) { return a < b ? a : b; }

template <typename T> inline V<T> rectified(V<T> x) { return x < 0 ? V<T>{} : x; }

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

// Coefficients of (1 + 2z)·exp(z²)·erfc(z) in t = (z − 2.5)/(z + 2.5), z >= 0: interpolated at Chebyshev's nodes, with
// relative errors of 8e-9 and 2e-13. The form is that of Schonfelder (1978).
template <typename T> struct Tail;
template <> struct Tail<float> {
    static constexpr float coefficients[] = {
        1.26483818f, -0.1223567694f, -0.09902423965f, 0.157630376f, -0.1029705553f, 0.0327554827f,
        0.0009468088732f, -0.004358277227f, 0.0004632798436f, 0.0005834769349f, -6.389437193e-5f, -6.471063822e-5f};
};
template <> struct Tail<double> {
    static constexpr double coefficients[] = {
        1.26483818436686148, -0.122356763082384482, -0.0990245395736121151, 0.15762991902146345,
        -0.102967056037669679, 0.0327608933149831319, 0.0009318927939202089, -0.00438207890966715625,
        0.000491866093169735343, 0.000632128264828641982, -0.0000884810990623203197, -0.000113539045705446312,
        6.27355668925028328e-6, 0.0000227456898981524793, 2.58941842395875644e-6, -4.30242371140856026e-6,
        -1.55238336407044695e-6, 6.30440362985702163e-7, 4.97750244001596519e-7, -4.9104228212510305e-8,
        -1.01691178875324954e-7, -6.1808654581772862e-10, 1.03533324790877203e-8};
};

// Φ, the normal distribution function; sets `bell` to exp(−x²/2).
template <typename T> inline V<T> normal(V<T> x, V<T>& bell) {
    constexpr int terms = sizeof(Tail<T>::coefficients) / sizeof(T);
    const V<T> z = (x < 0 ? -x : x) * T(0.70710678118654752440), t = (z - T(2.5)) / (z + T(2.5));
    V<T> sum = all<T>(Tail<T>::coefficients[terms - 1]);
    for (int i = terms - 2; i >= 0; --i) sum = Tail<T>::coefficients[i] + sum * t;
    bell = exponential<T>(-z * z);
    const V<T> tail = T(0.5) * bell * sum / (1 + 2 * z);
    return x < 0 ? tail : 1 - tail;
}

}  // namespace esper
