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

/* Two rows at once without momentum, sharing each read and write of the columns: worth it where columns are too
 * many for the first-level cache, not below (twice the streams from memory). */
TARGET static inline __attribute__((always_inline)) void NAMED(run_pairs)(const Hyper *h, const Band *band,
                                                                          int bound)
{
    const float sign = h->sign, keep = h->keep, gain = h->gain, decay = h->decay, lr = h->lr;
    const int64_t width = band->width;
    for (int64_t i = 0; i + 1 < band->rows; i += 2) {
        float *restrict w0 = band->w + i * band->stride, *restrict w1 = w0 + band->stride;
        const float *restrict g0 = band->g + i * band->stride, *restrict g1 = g0 + band->stride;
        const float *restrict c = band->c;
        uint32_t *restrict cnew = band->cnew;
        float r0 = 0.0f, r1 = 0.0f, gain0 = gain, gain1 = gain;
        uint32_t top0 = 0, top1 = 0;
        if (bound & BOUND_ROW) {
            r0 = as_float(band->rold[i]), r1 = as_float(band->rold[i + 1]);
            if (r0 != r0) gain0 = r0;
            if (r1 != r1) gain1 = r1;
            if (!band->first) top0 = band->r[i], top1 = band->r[i + 1];
        }
        INDEPENDENT
        for (int64_t j = 0; j < width; j++) {
            float x0 = sign * g0[j], x1 = sign * g1[j], b0 = c[j], b1 = c[j];
            if (bound & BOUND_ROW) b0 = r0 < b0 ? r0 : b0, b1 = r1 < b1 ? r1 : b1;
            float nu0 = keep * b0 + gain0 * (x0 * x0), nu1 = keep * b1 + gain1 * (x1 * x1);
            uint32_t bits0 = as_bits(nu0) & 0x7fffffffu, bits1 = as_bits(nu1) & 0x7fffffffu;
            if (bound & BOUND_ROW) top0 = bits0 > top0 ? bits0 : top0, top1 = bits1 > top1 ? bits1 : top1;
            bits0 = bits1 > bits0 ? bits1 : bits0;
            cnew[j] = bits0 > cnew[j] ? bits0 : cnew[j];
            w0[j] = decay * w0[j] - lr * (x0 / sqrtf(nu0 + EPSILON));
            w1[j] = decay * w1[j] - lr * (x1 / sqrtf(nu1 + EPSILON));
        }
        if (bound & BOUND_ROW) band->r[i] = top0, band->r[i + 1] = top1;
    }
}

TARGET static void NAMED(rows)(const Hyper *h, const Band *band, int bound, int moment)
{
    Band last = *band;
    if ((bound & BOUND_COL) && moment == MOMENT_NONE && band->width >= PAIRS_FROM) {
        if (bound & BOUND_ROW) NAMED(run_pairs)(h, band, BOUND_ROW | BOUND_COL);
        else NAMED(run_pairs)(h, band, BOUND_COL);
        int64_t done = band->rows & ~(int64_t)1;
        last.rows -= done, last.w += done * band->stride, last.g += done * band->stride;
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
