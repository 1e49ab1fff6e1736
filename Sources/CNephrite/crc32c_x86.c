// CRC-32C on x86-64: crc32q in three interleaved streams, and carry-less folding of 64-byte vectors. crc32c.c chooses.
// Constants are x^n mod P, bit-reflected; a 32-bit constant in the low half of a 64-bit word and the reflected product
// contribute x^33 between them, hence n = 8 * bytes + 31 for the earlier and 8 * bytes - 33 for the later 64 bits of a
// lane (V. Gopal et al.: "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", Intel 2009).
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "crc32c_internal.h"

#define SSE42 __attribute__((target("sse4.2,pclmul")))
#define VPCLMUL __attribute__((target("sse4.2,pclmul,avx512f,vpclmulqdq")))

int nephrite_crc32c_has_sse42(void) { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"); }

int nephrite_crc32c_has_vpclmul(void) {
    return nephrite_crc32c_has_sse42() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
}

SSE42 static inline uint64_t read64(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

// One stream; the shortest inputs and what is left of longer ones.
SSE42 static inline uint32_t update_serial(uint64_t state, const uint8_t *bytes, size_t length) {
    for (; length >= 8; bytes += 8, length -= 8) {
        state = _mm_crc32_u64(state, read64(bytes));
    }
    if (length & 4) {
        uint32_t word;
        memcpy(&word, bytes, sizeof word);
        state = _mm_crc32_u32((uint32_t)state, word);
        bytes += 4;
    }
    if (length & 2) {
        uint16_t word;
        memcpy(&word, bytes, sizeof word);
        state = _mm_crc32_u16((uint32_t)state, word);
        bytes += 2;
    }
    if (length & 1) state = _mm_crc32_u8((uint32_t)state, *bytes);
    return (uint32_t)state;
}

// The register `state` after as many zero bytes as `constant` = x^(8 * bytes - 33) mod P stands for.
SSE42 static inline uint64_t advance(uint64_t state, uint32_t constant) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)state), _mm_cvtsi32_si128((int)constant), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

// Three blocks of `block` bytes side by side: crc32q has a latency of three cycles and a throughput of one.
SSE42 static inline uint64_t update_three(
    uint64_t state, const uint8_t *bytes, size_t block, uint32_t over_one, uint32_t over_two) {
    uint64_t first = state, second = 0, third = 0;
    for (size_t i = 0; i < block; i += 8) {
        first = _mm_crc32_u64(first, read64(bytes + i));
        second = _mm_crc32_u64(second, read64(bytes + block + i));
        third = _mm_crc32_u64(third, read64(bytes + 2 * block + i));
    }
    return advance(first, over_two) ^ advance(second, over_one) ^ third;
}

SSE42 uint32_t nephrite_crc32c_update_sse42(uint32_t state, const uint8_t *bytes, size_t length) {
    uint64_t wide = state;
    for (; length >= 3 * 1024; bytes += 3 * 1024, length -= 3 * 1024) {
        wide = update_three(wide, bytes, 1024, 0x170076fau, 0xa51b6135u);
    }
    for (; length >= 3 * 128; bytes += 3 * 128, length -= 3 * 128) {
        wide = update_three(wide, bytes, 128, 0x0d3b6092u, 0xb9e02b86u);
    }
    for (; length >= 3 * 32; bytes += 3 * 32, length -= 3 * 32) {
        wide = update_three(wide, bytes, 32, 0xba4fc28eu, 0x9e4addf8u);
    }
    return update_serial(wide, bytes, length);
}

// A pair of 64-bit multipliers in each 128-bit lane.
VPCLMUL static inline __m512i multipliers(uint32_t earlier, uint32_t later) {
    return _mm512_set_epi64(later, earlier, later, earlier, later, earlier, later, earlier);
}

// Moves `vector` forward over the distance of `constants` and adds `next`, which stands there.
VPCLMUL static inline __m512i fold(__m512i vector, __m512i constants, __m512i next) {
    __m512i earlier = _mm512_clmulepi64_epi128(vector, constants, 0x00);
    __m512i later = _mm512_clmulepi64_epi128(vector, constants, 0x11);
    return _mm512_ternarylogic_epi64(earlier, later, next, 0x96);
}

// The register after the 64 bytes of `vector`: lanes move to the last one, which crc32q finishes.
VPCLMUL static inline uint64_t reduce(__m512i vector) {
    const __m512i constants = _mm512_set_epi64(
        0, 0, 0x493c7d27, 0xf20c0dfe, 0xba4fc28e, 0x3da6d0cb, 0xddc0152b, 0x1c291d04);
    __m512i moved = fold(vector, constants, _mm512_maskz_mov_epi64(0xc0, vector));
    __m128i sum = _mm_xor_si128(
        _mm_xor_si128(_mm512_castsi512_si128(moved), _mm512_extracti32x4_epi32(moved, 1)),
        _mm_xor_si128(_mm512_extracti32x4_epi32(moved, 2), _mm512_extracti32x4_epi32(moved, 3)));
    uint64_t state = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(sum));
    return _mm_crc32_u64(state, (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(sum, sum)));
}

VPCLMUL uint32_t nephrite_crc32c_update_vpclmul(uint32_t state, const uint8_t *bytes, size_t length) {
    if (length < 128) return update_serial(state, bytes, length);

    const __m512i over_one = multipliers(0x740eef02, 0x9e4addf8);
    __m512i a = _mm512_loadu_si512(bytes);
    a = _mm512_xor_si512(a, _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state)));
    if (length >= 512) {
        const __m512i over_four = multipliers(0xdcb17aa4, 0xb9e02b86);
        __m512i b = _mm512_loadu_si512(bytes + 64);
        __m512i c = _mm512_loadu_si512(bytes + 128);
        __m512i d = _mm512_loadu_si512(bytes + 192);
        for (bytes += 256, length -= 256; length >= 256; bytes += 256, length -= 256) {
            a = fold(a, over_four, _mm512_loadu_si512(bytes));
            b = fold(b, over_four, _mm512_loadu_si512(bytes + 64));
            c = fold(c, over_four, _mm512_loadu_si512(bytes + 128));
            d = fold(d, over_four, _mm512_loadu_si512(bytes + 192));
        }
        a = fold(fold(fold(a, over_one, b), over_one, c), over_one, d);
    } else {
        bytes += 64;
        length -= 64;
    }
    for (; length >= 64; bytes += 64, length -= 64) {
        a = fold(a, over_one, _mm512_loadu_si512(bytes));
    }
    return update_serial(reduce(a), bytes, length);
}
#else
typedef int nephrite_crc32c_x86_is_empty_here;
#endif
