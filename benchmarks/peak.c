/*
 * What one core of this processor can do at most, in multiply-accumulates: int8 and float32.
 *
 * Independent accumulators keep every multiplier busy and nothing touches memory, so the rates are ceilings that a
 * network can be held against, not something it will reach. Prints one line of JSON, operations a second with a
 * multiply-accumulate as two; 0 where this compiler or processor lacks the instruction.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { CHAINS = 16, ROUNDS = 4000000, TRIES = 7 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

#if defined(__AVX512VNNI__)
#define INT8_LANES 64
typedef __m512i integers;
#define INTEGERS_ZERO _mm512_setzero_si512()
#define INTEGERS_STEP(sum) _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(3), _mm512_set1_epi8(5))
#elif defined(__AVX2__)
#define INT8_LANES 32
typedef __m256i integers;
#define INTEGERS_ZERO _mm256_setzero_si256()
#define INTEGERS_STEP(sum)                                                                                             \
    _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_xor_si256(sum, _mm256_set1_epi8(3)),           \
                                                                 _mm256_set1_epi8(5)),                                 \
                                            _mm256_set1_epi16(1)))
#elif defined(__ARM_FEATURE_DOTPROD)
#define INT8_LANES 16
typedef int32x4_t integers;
#define INTEGERS_ZERO vdupq_n_s32(0)
#define INTEGERS_STEP(sum) vdotq_s32(sum, vdupq_n_s8(3), vdupq_n_s8(5))
#endif

#if defined(__AVX512F__)
#define FLOAT_LANES 16
typedef __m512 floats;
#define FLOATS_ZERO _mm512_setzero_ps()
#define FLOATS_STEP(sum) _mm512_fmadd_ps(sum, _mm512_set1_ps(0.999f), _mm512_set1_ps(0.5f))
#elif defined(__FMA__)
#define FLOAT_LANES 8
typedef __m256 floats;
#define FLOATS_ZERO _mm256_setzero_ps()
#define FLOATS_STEP(sum) _mm256_fmadd_ps(sum, _mm256_set1_ps(0.999f), _mm256_set1_ps(0.5f))
#elif defined(__aarch64__)
#define FLOAT_LANES 4
typedef float32x4_t floats;
#define FLOATS_ZERO vdupq_n_f32(0)
#define FLOATS_STEP(sum) vfmaq_f32(vdupq_n_f32(0.5f), sum, vdupq_n_f32(0.999f))
#endif

/* The compiler must believe that a register was read and changed, or it would fold the chains into one. */
#if defined(__x86_64__)
#define OPAQUE(value) __asm__ volatile("" : "+v"(value))
#else
#define OPAQUE(value) __asm__ volatile("" : "+w"(value))
#endif

#define MEASURE(name, type, zero, step, lanes)                                                                         \
    static double name(void)                                                                                           \
    {                                                                                                                  \
        double best = 0;                                                                                               \
        for (int try = 0; try < TRIES; try++) {                                                                        \
            type sums[CHAINS];                                                                                         \
            for (int chain = 0; chain < CHAINS; chain++)                                                               \
                sums[chain] = zero;                                                                                    \
            double began = now();                                                                                      \
            for (int round = 0; round < ROUNDS; round++) {                                                             \
                _Pragma("GCC unroll 16") for (int chain = 0; chain < CHAINS; chain++)                                  \
                {                                                                                                      \
                    sums[chain] = step(sums[chain]);                                                                   \
                    OPAQUE(sums[chain]);                                                                               \
                }                                                                                                      \
            }                                                                                                          \
            double rate = 2.0 * (lanes) * CHAINS * ROUNDS / (now() - began);                                           \
            if (rate > best)                                                                                           \
                best = rate;                                                                                           \
        }                                                                                                              \
        return best;                                                                                                   \
    }

#ifdef INT8_LANES
MEASURE(integer_peak, integers, INTEGERS_ZERO, INTEGERS_STEP, INT8_LANES)
#else
static double integer_peak(void) { return 0; }
#endif
#ifdef FLOAT_LANES
MEASURE(float_peak, floats, FLOATS_ZERO, FLOATS_STEP, FLOAT_LANES)
#else
static double float_peak(void) { return 0; }
#endif

int main(void)
{
    printf("{\"int8\": %.4g, \"float\": %.4g}\n", integer_peak(), float_peak());
    return 0;
}
