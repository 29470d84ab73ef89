// The operations between a host's convolutions, each in one pass over memory. Activations are [B, n, C, S] and
// contiguous: B samples, n hosts side by side, C channels, S = H·W pixels. Everything is computed sample by sample and
// host by host, and summed over samples in their order, so that no host's numbers depend on how many hosts there are.

#include <cmath>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

template <class T, int bytes> struct Vector { typedef T lanes __attribute__((vector_size(bytes))); };

// A lane is what one instruction works on: a wide vector, a narrow one or a single number, whichever divides S.
template <class V, class T> inline V load(const T* p) { V v; __builtin_memcpy(&v, p, sizeof(V)); return v; }
template <class V, class T> inline void store(T* p, V v) { __builtin_memcpy(p, &v, sizeof(V)); }
template <class V, class T> inline V spread(T value) { return V{} + value; }
// The sum of all lanes: halves are added until one is left.
template <class V, std::size_t... i> inline auto halves(V v, std::index_sequence<i...>) {
    return __builtin_shufflevector(v, v, i...) + __builtin_shufflevector(v, v, (i + sizeof...(i))...);
}
template <class T, class V> inline T total(V v) {
    constexpr std::size_t lanes = sizeof(V) / sizeof(T);
    if constexpr (std::is_same_v<T, V>) return v;
    else if constexpr (lanes == 2) return v[0] + v[1];
    else return total<T>(halves(v, std::make_index_sequence<lanes / 2>()));
}

// y[o] = sum over c of weight[o * stride_o + c * stride_c] * x[c], for K outputs from o on.
template <class T, class V, int K>
inline void products(const T* x, const T* weight, T* y, long inputs, long stride_o, long stride_c, long size) {
    constexpr long step = sizeof(V) / sizeof(T);
    for (long s = 0; s < size; s += step) {
        V sums[K] = {};
        for (long c = 0; c < inputs; ++c) {
            const V value = load<V>(x + c * size + s);
            for (int k = 0; k < K; ++k) sums[k] += value * weight[k * stride_o + c * stride_c];
        }
        for (int k = 0; k < K; ++k) store(y + k * size + s, sums[k]);
    }
}

template <class T, class V>
void multiply(const T* x, const T* weight, T* y, long inputs, long outputs, long stride_o, long stride_c, long size) {
    long o = 0;
    for (; o + 8 <= outputs; o += 8)
        products<T, V, 8>(x, weight + o * stride_o, y + o * size, inputs, stride_o, stride_c, size);
    for (; o < outputs; ++o)
        products<T, V, 1>(x, weight + o * stride_o, y + o * size, inputs, stride_o, stride_c, size);
}

// sums[o, c] += gradient[o] · x[c], lane by lane, for a tile of A outputs and D inputs.
template <class T, class V, int A, int D>
inline void outer(const T* gradient, const T* x, V* sums, long inputs, long size) {
    constexpr long step = sizeof(V) / sizeof(T);
    V tile[A][D];
    for (int a = 0; a < A; ++a)
        for (int d = 0; d < D; ++d) tile[a][d] = sums[a * inputs + d];
    for (long s = 0; s < size; s += step) {
        V right[D];
        for (int d = 0; d < D; ++d) right[d] = load<V>(x + d * size + s);
        for (int a = 0; a < A; ++a) {
            const V left = load<V>(gradient + a * size + s);
            for (int d = 0; d < D; ++d) tile[a][d] += left * right[d];
        }
    }
    for (int a = 0; a < A; ++a)
        for (int d = 0; d < D; ++d) sums[a * inputs + d] = tile[a][d];
}

template <class T, class V> struct Kernels {
    typedef typename Vector<T, 16>::lanes Narrow;
    static constexpr long step = sizeof(V) / sizeof(T), narrow = sizeof(Narrow) / sizeof(T);

    // A 1×1 convolution.
    static void pointwise(const T* x, const T* weight, T* y, long batch, long hosts, long inputs, long outputs, long size) {
        for (long b = 0; b < batch; ++b)
            for (long h = 0; h < hosts; ++h)
                multiply<T, V>(x + (b * hosts + h) * inputs * size, weight + h * outputs * inputs,
                               y + (b * hosts + h) * outputs * size, inputs, outputs, inputs, 1, size);
    }

    // Its gradients; to_x may be null.
    static void pointwise_backward(const T* gradient, const T* x, const T* weight, T* to_x, T* to_weight, long batch,
                                   long hosts, long inputs, long outputs, long size) {
        std::vector<V> sums(outputs * inputs);
        for (long h = 0; h < hosts; ++h) {
            for (V& sum : sums) sum = V{};
            for (long b = 0; b < batch; ++b) {
                const T* g = gradient + (b * hosts + h) * outputs * size;
                const T* in = x + (b * hosts + h) * inputs * size;
                if (to_x)
                    multiply<T, V>(g, weight + h * outputs * inputs, to_x + (b * hosts + h) * inputs * size, outputs,
                                   inputs, 1, inputs, size);
                long o = 0;
                for (; o + 4 <= outputs; o += 4) {
                    long c = 0;
                    for (; c + 4 <= inputs; c += 4)
                        outer<T, V, 4, 4>(g + o * size, in + c * size, &sums[o * inputs + c], inputs, size);
                    for (; c < inputs; ++c)
                        outer<T, V, 4, 1>(g + o * size, in + c * size, &sums[o * inputs + c], inputs, size);
                }
                for (; o < outputs; ++o)
                    for (long c = 0; c < inputs; ++c)
                        outer<T, V, 1, 1>(g + o * size, in + c * size, &sums[o * inputs + c], inputs, size);
            }
            for (long i = 0; i < outputs * inputs; ++i) to_weight[h * outputs * inputs + i] = total<T>(sums[i]);
        }
    }

    // Group norm, then ReLU if relu, then 2×2 max-pool if width (the width of a row of pixels; else 0).
    // mean and scale (1/deviation), [B, groups], are kept for the backward pass.
    static void norm(const T* x, const T* gamma, const T* beta, T* y, T* mean, T* scale, long batch, long groups,
                     long members, long size, long width, long relu, double eps) {
        const long count = members * size, pooled = width ? size / 4 : size;
        std::vector<T> plane(size), pairs(size / 2);
        for (long at = 0; at < batch * groups; ++at) {
            const T* in = x + at * count;
            V sum{};
            for (long i = 0; i < count; i += step) sum += load<V>(in + i);
            const T centre = total<T>(sum) / count;
            V squares{};
            for (long i = 0; i < count; i += step) {
                const V apart = load<V>(in + i) - centre;
                squares += apart * apart;
            }
            const T factor = 1 / std::sqrt(total<T>(squares) / count + T(eps));
            mean[at] = centre;
            scale[at] = factor;
            for (long m = 0; m < members; ++m) {
                const long c = at % groups * members + m;
                const T slope = factor * gamma[c], shift = beta[c] - centre * slope;
                T* out = y + (at * members + m) * pooled;
                T* to = width ? plane.data() : out;
                for (long i = 0; i < size; i += step) {
                    V value = load<V>(in + m * size + i) * slope + shift;
                    // Written so that what is not a number stays so.
                    if (relu) value = value < 0 ? V{} : value;
                    store(to + i, value);
                }
                if (width) pool(to, pairs.data(), out, size, width);
            }
        }
    }

    static void norm_backward(const T* gradient, const T* x, const T* gamma, const T* beta, const T* mean, const T* scale,
                              T* to_x, T* to_gamma, T* to_beta, long batch, long groups, long members, long size,
                              long width, long relu) {
        const long count = members * size, pooled = width ? size / 4 : size;
        std::vector<T> plane(size), pairs(size / 2), arrived(count);
        for (long c = 0; c < groups * members; ++c) to_gamma[c] = to_beta[c] = 0;
        for (long at = 0; at < batch * groups; ++at) {
            const T* in = x + at * count;
            T* out = to_x + at * count;
            const T centre = mean[at], factor = scale[at];
            T direct = 0, along = 0;
            for (long m = 0; m < members; ++m) {
                const long c = at % groups * members + m;
                const T slope = factor * gamma[c], shift = beta[c] - centre * slope;
                const T* own = in + m * size;
                T* got = arrived.data() + m * size;
                const T* given = gradient + (at * members + m) * pooled;
                if (width) {
                    for (long i = 0; i < size; i += step) store(&plane[i], load<V>(own + i) * slope + shift);
                    unpool(plane.data(), pairs.data(), given, got, size, width);
                    given = got;
                }
                V sum{}, product{};
                for (long i = 0; i < size; i += step) {
                    const V value = load<V>(own + i);
                    V part = load<V>(given + i);
                    if (relu) part = value * slope + shift > 0 ? part : V{};
                    store(got + i, part);
                    sum += part;
                    product += part * ((value - centre) * factor);
                }
                const T sums = total<T>(sum), products = total<T>(product);
                to_beta[c] += sums;
                to_gamma[c] += products;
                direct += gamma[c] * sums;
                along += gamma[c] * products;
            }
            direct /= count;
            along /= count;
            for (long m = 0; m < members; ++m) {
                const T weight = gamma[at % groups * members + m];
                for (long i = m * size; i < (m + 1) * size; i += step) {
                    const V normal = (load<V>(in + i) - centre) * factor;
                    store(out + i, (load<V>(&arrived[i]) * weight - direct - normal * along) * factor);
                }
            }
        }
    }

    // The larger of each pair in a row.
    static void larger(const T* __restrict from, T* __restrict pairs, long size) {
        for (long i = 0; i < size / 2; ++i) pairs[i] = from[2 * i] < from[2 * i + 1] ? from[2 * i + 1] : from[2 * i];
    }

    // The larger of each pair of rows.
    template <class N> static void pool_rows(const T* upper, const T* lower, T* to, long from, long until) {
        for (long j = from; j < until; j += sizeof(N) / sizeof(T)) {
            const N above = load<N>(upper + j), below = load<N>(lower + j);
            store(to + j, above < below ? below : above);
        }
    }

    static void pool(const T* from, T* pairs, T* to, long size, long width) {
        larger(from, pairs, size);
        const long half = width / 2, even = half / narrow * narrow;
        for (long row = 0; row < size / width; row += 2, to += half) {
            const T *upper = pairs + row * half, *lower = upper + half;
            pool_rows<Narrow>(upper, lower, to, 0, even);
            pool_rows<T>(upper, lower, to, even, half);
        }
    }

    // A row's gradient goes up, unless the lower is larger.
    template <class N>
    static void unpool_rows(T* upper, T* lower, const T* gradient, long from, long until) {
        for (long j = from; j < until; j += sizeof(N) / sizeof(T)) {
            const N above = load<N>(upper + j), below = load<N>(lower + j), given = load<N>(gradient + j);
            store(upper + j, above < below ? N{} : given);
            store(lower + j, above < below ? given : N{});
        }
    }

    // A pair's gradient goes left, unless the right is larger.
    static void unpool_pairs(const T* __restrict from, const T* __restrict pairs, T* __restrict to, long size) {
        for (long i = 0; i < size / 2; ++i) {
            // A factor and not a choice: branches on data are slow.
            const T right = T(from[2 * i] < from[2 * i + 1]);
            to[2 * i] = pairs[i] * (1 - right);
            to[2 * i + 1] = pairs[i] * right;
        }
    }

    // The gradient goes to the first of the largest, row by row.
    static void unpool(const T* from, T* pairs, const T* gradient, T* to, long size, long width) {
        larger(from, pairs, size);
        const long half = width / 2, even = half / narrow * narrow;
        for (long row = 0; row < size / width; row += 2, gradient += half) {
            T *upper = pairs + row * half, *lower = upper + half;
            unpool_rows<Narrow>(upper, lower, gradient, 0, even);
            unpool_rows<T>(upper, lower, gradient, even, half);
        }
        unpool_pairs(from, pairs, to, size);
    }

    // Powers of f and h, mean squares per sample, and the factor amount·min(1, rms(h)/rms(f)).
    struct Cap {
        T f_power, h_power, factor;
        bool limited;
        Cap(const T* f, const T* h, T amount, long size) {
            V of_f{}, of_h{};
            for (long i = 0; i < size; i += step) {
                const V branch = load<V>(f + i), trunk = load<V>(h + i);
                of_f += branch * branch;
                of_h += trunk * trunk;
            }
            f_power = total<T>(of_f) / size + T(1e-12);
            h_power = total<T>(of_h) / size + T(1e-12);
            const T ratio = std::sqrt(h_power / f_power);
            limited = !(ratio > 1);
            factor = limited ? ratio * amount : amount;
        }
    };

    // What is added to a host: nothing, its part as it is, or amount·part·min(1, rms(h)/rms(part)).
    enum Mode { nothing = 0, plain = 1, capped = 2 };

    // y = h + what mode[n] says of part[n], whose samples lie stride[n] apart. A fixed host keeps its value.
    static void join(const T* h, const T* const* part, const long* stride, const long* mode, const long* fixed,
                     const T* amount, T* y, long batch, long hosts, long size) {
        for (long b = 0; b < batch; ++b)
            for (long n = 0; n < hosts; ++n) {
                const T* trunk = h + (b * hosts + n) * size;
                T* out = y + (b * hosts + n) * size;
                if (mode[n] == nothing || fixed[n]) {
                    __builtin_memcpy(out, trunk, size * sizeof(T));
                    continue;
                }
                const T* branch = part[n] + b * stride[n];
                const T factor = mode[n] == capped ? Cap(branch, trunk, amount[n], size).factor : T(1);
                for (long i = 0; i < size; i += step) store(out + i, load<V>(trunk + i) + load<V>(branch + i) * factor);
            }
    }

    // The gradients of h and of each part. Through a cap, a fixed host gets none.
    static void join_backward(const T* gradient, const T* h, const T* const* part, T* const* to_part, const long* stride,
                              const long* mode, const long* fixed, const T* amount, T* to_h, long batch, long hosts,
                              long size) {
        for (long b = 0; b < batch; ++b)
            for (long n = 0; n < hosts; ++n) {
                const long at = (b * hosts + n) * size;
                const T* given = gradient + at;
                if (mode[n] != capped) {
                    __builtin_memcpy(to_h + at, given, size * sizeof(T));
                    if (mode[n] == plain) __builtin_memcpy(to_part[n] + b * stride[n], given, size * sizeof(T));
                    continue;
                }
                const T* trunk = h + at;
                const T* branch = part[n] + b * stride[n];
                T* to_branch = to_part[n] + b * stride[n];
                const Cap cap(branch, trunk, amount[n], size);
                V product{};
                for (long i = 0; i < size; i += step) product += load<V>(given + i) * load<V>(branch + i);
                const T pull = cap.limited ? total<T>(product) * cap.factor / size : T(0);
                const T down = pull / cap.f_power, up = fixed[n] ? T(0) : pull / cap.h_power;
                for (long i = 0; i < size; i += step) {
                    store(to_branch + i, load<V>(given + i) * cap.factor - load<V>(branch + i) * down);
                    store(to_h + at + i, load<V>(given + i) + load<V>(trunk + i) * up);
                }
            }
    }
};

}  // namespace

// Each function for float32 and float64, with the widest lanes that divide a channel's pixels.
#define EXPORT(name, type, suffix, parameters, arguments)                                        \
    extern "C" void name##suffix parameters {                                                    \
        if (size % (64 / (long)sizeof(type)) == 0)                                               \
            Kernels<type, Vector<type, 64>::lanes>::name arguments;                               \
        else if (size % (16 / (long)sizeof(type)) == 0)                                          \
            Kernels<type, Vector<type, 16>::lanes>::name arguments;                               \
        else                                                                                     \
            Kernels<type, type>::name arguments;                                                 \
    }
#define EXPORT_BOTH(type, suffix)                                                                                      \
    EXPORT(pointwise, type, suffix,                                                                                    \
           (const type* x, const type* weight, type* y, long batch, long hosts, long inputs, long outputs, long size), \
           (x, weight, y, batch, hosts, inputs, outputs, size))                                                        \
    EXPORT(pointwise_backward, type, suffix,                                                                           \
           (const type* gradient, const type* x, const type* weight, type* to_x, type* to_weight, long batch,          \
            long hosts, long inputs, long outputs, long size),                                                         \
           (gradient, x, weight, to_x, to_weight, batch, hosts, inputs, outputs, size))                                \
    EXPORT(norm, type, suffix,                                                                                         \
           (const type* x, const type* gamma, const type* beta, type* y, type* mean, type* scale, long batch,          \
            long groups, long members, long size, long width, long relu, double eps),                                  \
           (x, gamma, beta, y, mean, scale, batch, groups, members, size, width, relu, eps))                           \
    EXPORT(norm_backward, type, suffix,                                                                                \
           (const type* gradient, const type* x, const type* gamma, const type* beta, const type* mean,                \
            const type* scale, type* to_x, type* to_gamma, type* to_beta, long batch, long groups, long members,       \
            long size, long width, long relu),                                                                         \
           (gradient, x, gamma, beta, mean, scale, to_x, to_gamma, to_beta, batch, groups, members, size, width, relu)) \
    EXPORT(join, type, suffix,                                                                                         \
           (const type* h, const type* const* part, const long* stride, const long* mode, const long* fixed,           \
            const type* amount, type* y, long batch, long hosts, long size),                                           \
           (h, part, stride, mode, fixed, amount, y, batch, hosts, size))                                              \
    EXPORT(join_backward, type, suffix,                                                                                \
           (const type* gradient, const type* h, const type* const* part, type* const* to_part, const long* stride,    \
            const long* mode, const long* fixed, const type* amount, type* to_h, long batch, long hosts, long size),   \
           (gradient, h, part, to_part, stride, mode, fixed, amount, to_h, batch, hosts, size))
EXPORT_BOTH(float, _f32)
EXPORT_BOTH(double, _f64)
