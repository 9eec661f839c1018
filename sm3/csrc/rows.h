/* One pass of SM3-II over a run of rows. Included by step.c once for each instruction set, with
 *   TARGET    the function attribute that selects the instruction set (may be empty)
 *   NAMED(x)  the name x with the instruction set's suffix
 *
 * Accumulators are never negative, so their bits order as integers do, with NaN above inf. Maxima are therefore
 * taken on integers: NaN propagates, and the compiler may reassociate. Minima are taken on floats, where
 * (r < c ? r : c) gives c if either is NaN; a NaN in r is carried by the factor of g*g instead.
 */

/* Store up to RUN numbers as the signed roots of their shares of the largest, in 127ths; returns the largest. */
TARGET static inline __attribute__((always_inline)) float NAMED(encode)(const float *m, int8_t *q, int64_t n)
{
    uint32_t top = 0;
    for (int64_t j = 0; j < n; j++) {
        uint32_t bits = as_bits(m[j]) & 0x7fffffffu;
        top = bits > top ? bits : top;
    }
    const float peak = as_float(top);
    for (int64_t j = 0; j < n; j++) {
        float share = sqrtf(fabsf(m[j]) / peak);
        share = share == share ? share : 0.0f; /* 0/0 in runs of zeros, NaN, inf/inf */
        int level = (int)(share * 127.0f + 0.5f);
        q[j] = (int8_t)(m[j] < 0.0f ? -level : level);
    }
    return peak;
}

/* Every variant is this one function with constant `bound` and `moment`. */
TARGET static inline __attribute__((always_inline)) void NAMED(run_rows)(const Hyper *h, const Band *band,
                                                                         int bound, int moment)
{
    const float sign = h->sign, keep = h->keep, gain = h->gain, beta = h->beta, blend = h->blend;
    const float decay = h->decay, lr = h->lr;
    const int64_t width = band->width;
    for (int64_t i = 0; i < band->rows; i++) {
        float *restrict w = band->w + i * band->stride;
        const float *restrict g = band->g + i * band->stride;
        float *mf = (float *)band->m + i * band->stride;
        uint16_t *restrict mh = (uint16_t *)band->m + i * band->stride;
        int8_t *restrict mq = (int8_t *)band->m + i * band->stride;
        const float *restrict c = band->c;
        uint32_t *restrict cnew = band->cnew;
        float r = 0.0f, row_gain = gain;
        uint32_t rmax = 0;
        if (bound & BOUND_ROW) {
            r = as_float(band->rold[i]);
            if (r != r) row_gain = r;
            if (!band->first) rmax = band->r[i];
        }
        /* int8 momentum is taken a run at a time, in float32; everything else the whole width at once. */
        const int64_t run = moment == MOMENT_INT8 ? RUN : width;
        for (int64_t start = 0; start < width; start += run) {
            const int64_t stop = least(start + run, width);
            float decoded[RUN];
            if (moment == MOMENT_INT8) {
                const float peak = band->scale[i * band->runs + start / RUN];
                for (int64_t j = start; j < stop; j++) {
                    float share = mq[j] / 127.0f;
                    decoded[j - start] = share * fabsf(share) * peak;
                }
                mf = decoded - start;
            }
            INDEPENDENT
            for (int64_t j = start; j < stop; j++) {
                float gj = sign * g[j];
                float b = bound & BOUND_EACH ? as_float(cnew[j])
                          : !(bound & BOUND_COL) ? r
                          : !(bound & BOUND_ROW) ? c[j]
                          : (r < c[j] ? r : c[j]);
                float nu = keep * b + row_gain * (gj * gj);
                uint32_t bits = as_bits(nu) & 0x7fffffffu;
                if (bound & BOUND_ROW) rmax = bits > rmax ? bits : rmax;
                if (bound & BOUND_COL) cnew[j] = bits > cnew[j] ? bits : cnew[j];
                if (bound & BOUND_EACH) cnew[j] = bits;
                float u = gj / sqrtf(nu + EPSILON);
                if (moment == MOMENT_F32 || moment == MOMENT_INT8) {
                    u = beta * mf[j] + blend * u;
                    mf[j] = u;
                }
                if (moment == MOMENT_BF16) {
                    u = beta * from_bf16(mh[j]) + blend * u;
                    mh[j] = to_bf16(u);
                }
                w[j] = decay * w[j] - lr * u;
            }
            if (moment == MOMENT_INT8)
                band->scale[i * band->runs + start / RUN] = NAMED(encode)(decoded, mq + start, stop - start);
        }
        if (bound & BOUND_ROW) band->r[i] = rmax;
    }
}

/* Four rows at once, sharing each read and write of the columns: worth it where columns are too many for the
 * first-level cache to hold them beside the rows, not below (four times the streams from memory). float32 momentum or
 * none; as run_rows otherwise. */
TARGET static inline __attribute__((always_inline)) void NAMED(run_quads)(const Hyper *h, const Band *band,
                                                                          int bound, int moment)
{
    const float sign = h->sign, keep = h->keep, gain = h->gain, beta = h->beta, blend = h->blend;
    const float decay = h->decay, lr = h->lr;
    const int64_t width = band->width, stride = band->stride;
    for (int64_t i = 0; i + 3 < band->rows; i += 4) {
        const float *restrict c = band->c;
        uint32_t *restrict cnew = band->cnew;
#define ROW(K)                                                                          \
        float *restrict w##K = band->w + (i + K) * stride;                              \
        const float *restrict g##K = band->g + (i + K) * stride;                        \
        float *restrict m##K = (float *)band->m + (i + K) * stride;                     \
        float r##K = 0.0f, gain##K = gain;                                              \
        uint32_t top##K = 0;                                                            \
        if (bound & BOUND_ROW) {                                                        \
            r##K = as_float(band->rold[i + K]);                                         \
            if (r##K != r##K) gain##K = r##K;                                           \
            if (!band->first) top##K = band->r[i + K];                                  \
        }
        ROW(0) ROW(1) ROW(2) ROW(3)
#undef ROW
        INDEPENDENT
        for (int64_t j = 0; j < width; j++) {
            const float col = c[j];
            uint32_t top = cnew[j];
#define ENTRY(K) {                                                                      \
            float gj = sign * g##K[j];                                                  \
            float b = !(bound & BOUND_ROW) ? col : (r##K < col ? r##K : col);           \
            float nu = keep * b + gain##K * (gj * gj);                                  \
            uint32_t bits = as_bits(nu) & 0x7fffffffu;                                  \
            if (bound & BOUND_ROW) top##K = bits > top##K ? bits : top##K;              \
            top = bits > top ? bits : top;                                              \
            float u = gj / sqrtf(nu + EPSILON);                                         \
            if (moment == MOMENT_F32) {                                                 \
                u = beta * m##K[j] + blend * u;                                         \
                m##K[j] = u;                                                            \
            }                                                                           \
            w##K[j] = decay * w##K[j] - lr * u;                                         \
        }
            ENTRY(0) ENTRY(1) ENTRY(2) ENTRY(3)
#undef ENTRY
            cnew[j] = top;
        }
        if (bound & BOUND_ROW) {
            band->r[i] = top0, band->r[i + 1] = top1, band->r[i + 2] = top2, band->r[i + 3] = top3;
        }
    }
}

TARGET static void NAMED(rows)(const Hyper *h, const Band *band, int bound, int moment)
{
    Band last = *band;
    /* With momentum twelve streams come from memory; where rows are a multiple of 16 KiB apart they contend for it. */
    const int many = moment == MOMENT_NONE || (moment == MOMENT_F32 && band->stride % 4096);
    if ((bound & BOUND_COL) && many && band->width >= QUADS_FROM) {
#define CASE(B, M) \
    if (bound == (B) && moment == (M)) NAMED(run_quads)(h, band, B, M);
        CASE(BOUND_ROW | BOUND_COL, MOMENT_NONE) CASE(BOUND_ROW | BOUND_COL, MOMENT_F32)
        CASE(BOUND_COL, MOMENT_NONE) CASE(BOUND_COL, MOMENT_F32)
#undef CASE
        const int64_t done = band->rows & ~(int64_t)3;
        last.rows -= done, last.w += done * band->stride, last.g += done * band->stride;
        if (band->m) last.m += 4 * done * band->stride;
        if (band->r) last.r += done, last.rold += done;
        band = &last;
    }
#define CASE(B, M) \
    if (bound == (B) && moment == (M)) NAMED(run_rows)(h, band, B, M);
#define CASES(B) CASE(B, MOMENT_NONE) CASE(B, MOMENT_F32) CASE(B, MOMENT_BF16) CASE(B, MOMENT_INT8)
    CASES(BOUND_ROW | BOUND_COL)
    CASES(BOUND_ROW)
    CASES(BOUND_COL)
    CASES(BOUND_EACH)
#undef CASES
#undef CASE
}

/* Whether all n numbers are finite: no exponent is all ones. */
TARGET static int NAMED(all_finite)(const float *g, int64_t n)
{
    for (int64_t start = 0; start < n; start += 4096) {
        int64_t stop = start + 4096 < n ? start + 4096 : n;
        uint32_t top = 0;
        for (int64_t j = start; j < stop; j++) {
            uint32_t bits = as_bits(g[j]) & 0x7fffffffu;
            top = bits > top ? bits : top;
        }
        if (top >= 0x7f800000u) return 0;
    }
    return 1;
}
