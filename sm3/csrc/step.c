/* SM3-II in one pass over each tensor, for float32 parameters on the CPU.
 *
 * A tensor of any rank is dim 0 times the rest. Under slices, the bound of a column is the min over the
 * accumulators of the trailing dims, and its new max is reduced back onto them afterwards. Traffic: read w and
 * g, write w = 12 bytes an entry without momentum; 20 with. Transient memory: two column vectors a thread.
 *
 * The definition is sm3/update.py; every path here equals it, NaN and inf included.
 *
 * Legend: w parameter, g gradient, m momentum, r row accumulators, c bounds of columns, cnew their new maxima,
 * nu AdaGrad's stand-in, u = g/sqrt(nu).
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "task.h"

#define TARGET
#define NAMED(x) x##_baseline
#include "rows.h"
#undef NAMED
#undef TARGET
static void (*rows)(const Hyper *, const Band *, int, int) = rows_baseline;
static int (*all_finite)(const float *, int64_t) = all_finite_baseline;

#if defined(__x86_64__) && defined(__GNUC__)
#define TARGET __attribute__((target("avx2")))
#define NAMED(x) x##_avx2
#include "rows.h"
#undef NAMED
#undef TARGET
#define AVX512 "avx512f,avx512bw,avx512dq,avx512vl"
#if defined(__clang__)
#define TARGET __attribute__((target(AVX512)))
#else
#define TARGET __attribute__((target(AVX512 ",prefer-vector-width=512")))
#endif
#define NAMED(x) x##_avx512
#include "rows.h"
#undef NAMED
#undef TARGET
#endif

/* Takes the named instruction set, or the widest where none is named; returns its name, or 0 where this processor
   lacks it. */
static const char *use_instructions(const char *wanted)
{
#define USE(NAME, SUPPORTED)                                             \
    if ((!wanted || !strcmp(wanted, #NAME)) && (SUPPORTED)) {            \
        rows = rows_##NAME;                                              \
        all_finite = all_finite_##NAME;                                  \
        return #NAME;                                                    \
    }
#if defined(__x86_64__) && defined(__GNUC__)
    USE(avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
                    && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    USE(avx2, __builtin_cpu_supports("avx2"))
#endif
    USE(baseline, 1)
#undef USE
    return 0;
}

/* ---- one tensor, entries or rows [start, stop) of it ---- */

static Band band_at(const Task *t, int64_t entry)
{
    Band band = {.w = (float *)t->w + entry, .g = (const float *)t->g + entry, .first = 1};
    static const int bytes[] = {0, 4, 2, 1};
    band.m = t->m ? (char *)t->m + entry * bytes[t->moment] : 0;
    band.runs = tiles(t->cols, RUN);
    band.scale = t->scale ? (float *)t->scale + entry / t->cols * band.runs + entry % t->cols / RUN : 0;
    return band;
}

static void singletons(const Task *t, const Hyper *h, int64_t start, int64_t stop)
{
    Band band = band_at(t, start);
    band.cnew = (uint32_t *)t->mu + start;
    band.rows = 1, band.width = stop - start;
    rows(h, &band, BOUND_EACH, (int)t->moment);
}

static uint32_t whole(const Task *t, const Hyper *h, uint32_t old, int64_t start, int64_t stop)
{
    uint32_t top = 0;
    Band band = band_at(t, start);
    band.r = &top, band.rold = &old;
    band.rows = 1, band.width = stop - start;
    rows(h, &band, BOUND_ROW, (int)t->moment);
    return top;
}

/* c: bounds of the columns, or 0; cnew: takes their maxima; rold: room for all rows if cols > STRIP. */
static void slices(const Task *t, const Hyper *h, const float *c, uint32_t *cnew, uint32_t *rold, int64_t start,
                   int64_t stop)
{
    int bound = (t->mu ? BOUND_ROW : 0) | (c ? BOUND_COL : 0);
    uint32_t *r = t->mu ? (uint32_t *)t->mu + start : 0;
    if (r && t->cols > STRIP) memcpy(rold + start, r, (stop - start) * 4);
    for (int64_t j = 0; j < t->cols; j += STRIP) {
        Band band = band_at(t, start * t->cols + j);
        band.r = r, band.rold = t->cols > STRIP ? rold + start : r;
        band.c = c ? c + j : 0, band.cnew = cnew + j;
        band.rows = stop - start, band.width = least(STRIP, t->cols - j), band.stride = t->cols;
        band.first = j == 0;
        rows(h, &band, bound, (int)t->moment);
    }
}

/* ---- columns: (trailing index) counted in row-major order ---- */

typedef struct { int64_t at[MAX_TRAILING]; } Odometer;

static inline void turn(Odometer *o, const Task *t, int64_t dims)
{
    for (int64_t k = dims - 1; k >= 0; k--) {
        if (++o->at[k] < t->size[k]) return;
        o->at[k] = 0;
    }
}

static void columns_from_slices(const Task *t, float *c)
{
    Odometer o = {{0}};
    for (int64_t j = 0; j < t->cols; j++, turn(&o, t, t->trailing)) {
        float b = INFINITY;
        for (int64_t k = 0; k < t->trailing; k++) {
            if (!t->of[k]) continue;
            float mu = ((const float *)t->of[k])[o.at[k]];
            if (!(b <= mu) && b == b) b = mu;
        }
        c[j] = b;
    }
}

static void slices_from_columns(const Task *t, const uint32_t *cnew)
{
    Odometer o = {{0}};
    for (int64_t k = 0; k < t->trailing; k++)
        if (t->of[k]) memset((void *)t->of[k], 0, t->size[k] * 4);
    for (int64_t j = 0; j < t->cols; j++, turn(&o, t, t->trailing))
        for (int64_t k = 0; k < t->trailing; k++) {
            if (!t->of[k]) continue;
            uint32_t *mu = (uint32_t *)t->of[k] + o.at[k];
            if (cnew[j] > *mu) *mu = cnew[j];
        }
}

/* Rows of tiles [start, stop) under blocks; c and cnew hold t->cols numbers each. */
static void blocks(const Task *t, const Hyper *h, float *c, uint32_t *cnew, int64_t start, int64_t stop)
{
    int64_t outer = t->trailing > 1 ? t->trailing - 1 : 0, last = t->trailing - 1;
    int64_t run = t->trailing ? t->size[last] : 1, edge = t->trailing ? t->of[last] : 1;
    int64_t across = 1;
    for (int64_t k = 0; k < t->trailing; k++) across *= tiles(t->size[k], t->of[k]);
    for (int64_t tile_row = start; tile_row < stop; tile_row++) {
        uint32_t *mu = (uint32_t *)t->mu + tile_row * across;
        int64_t first = tile_row * t->row_edge, n = least(t->row_edge, t->rows - first);
        for (int writing = 0; writing < 2; writing++) {
            Odometer o = {{0}};
            if (writing) memset(mu, 0, across * 4);
            for (int64_t j = 0; j < t->cols; j += run, turn(&o, t, outer)) {
                int64_t tile = 0;
                for (int64_t k = 0; k < outer; k++) tile = tile * tiles(t->size[k], t->of[k]) + o.at[k] / t->of[k];
                tile *= tiles(run, edge);
                for (int64_t from = 0; from < run; from += edge, tile++) {
                    int64_t to = least(from + edge, run);
                    if (!writing) {
                        for (int64_t i = from; i < to; i++) c[j + i] = as_float(mu[tile]), cnew[j + i] = 0;
                    } else {
                        uint32_t top = mu[tile];
                        for (int64_t i = from; i < to; i++) top = cnew[j + i] > top ? cnew[j + i] : top;
                        mu[tile] = top;
                    }
                }
            }
            if (writing) break;
            for (int64_t j = 0; j < t->cols; j += STRIP) {
                Band band = band_at(t, first * t->cols + j);
                band.c = c + j, band.cnew = cnew + j;
                band.rows = n, band.width = least(STRIP, t->cols - j), band.stride = t->cols;
                rows(h, &band, BOUND_COL, (int)t->moment);
            }
        }
    }
}

/* ---- the whole of one tensor, by `threads` threads ---- */

typedef struct {
    int64_t cols, rows;   /* capacity */
    float *c;             /* threads * cols */
    uint32_t *cnew;       /* threads * cols */
    uint32_t *rold;       /* threads * rows */
} Scratch;

static void run_part(const Task *t, const Hyper *h, const Scratch *s, const float *c, uint32_t old, uint32_t *tops,
                     int64_t slot, int64_t part, int64_t parts)
{
    int64_t units = t->cover == COVER_SLICES   ? t->rows
                    : t->cover == COVER_BLOCKS ? tiles(t->rows, t->row_edge)
                                               : t->rows * t->cols;
    int64_t start = units * part / parts, stop = units * (part + 1) / parts;
    if (t->moment == MOMENT_INT8 && (t->cover == COVER_SINGLETONS || t->cover == COVER_WHOLE)) {
        start -= start % RUN;
        if (part + 1 < parts) stop -= stop % RUN;
    }
    uint32_t *cnew = s->cnew + slot * s->cols;
    switch (t->cover) {
    case COVER_SINGLETONS: singletons(t, h, start, stop); break;
    case COVER_WHOLE: tops[part] = whole(t, h, old, start, stop); break;
    case COVER_BLOCKS: blocks(t, h, s->c + slot * s->cols, cnew, start, stop); break;
    default:
        if (c) memset(cnew, 0, t->cols * 4);
        slices(t, h, c, cnew, s->rold + slot * s->rows, start, stop);
    }
}

#define MAX_THREADS 256

static void run_task(const Task *t, const Hyper *h, const Scratch *s, int64_t slot, int threads)
{
    uint32_t tops[MAX_THREADS] = {0}, old = t->cover == COVER_WHOLE ? *(uint32_t *)t->mu : 0;
    const float *c = 0;
    int parts = t->rows * t->cols < PARALLEL_FROM ? 1 : threads;
    if (t->cover == COVER_SLICES) {
        int chosen = 0;
        for (int64_t k = 0; k < t->trailing; k++) chosen += t->of[k] != 0;
        if (t->trailing == 1 && chosen) c = (const float *)t->of[0];
        else if (chosen) c = s->c + slot * s->cols, columns_from_slices(t, s->c + slot * s->cols);
        if (parts > t->rows) parts = (int)t->rows;
    }
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
#endif
    for (int part = 0; part < parts; part++)
        run_part(t, h, s, c, old, tops, slot + part, part, parts);
    if (t->cover == COVER_WHOLE) {
        for (int part = 1; part < parts; part++) tops[0] = tops[part] > tops[0] ? tops[part] : tops[0];
        *(uint32_t *)t->mu = tops[0];
    }
    if (t->cover == COVER_SLICES && c) {
        uint32_t *cnew = s->cnew + slot * s->cols;
        for (int part = 1; part < parts; part++) {
            const uint32_t *more = cnew + part * s->cols;
            for (int64_t j = 0; j < t->cols; j++) cnew[j] = more[j] > cnew[j] ? more[j] : cnew[j];
        }
        if (t->trailing == 1) memcpy((void *)t->of[0], cnew, t->cols * 4);
        else slices_from_columns(t, cnew);
    }
}

/* Large tensors one after another, each by all threads; small ones shared out among the threads. */
static int run_tasks(const Task *tasks, int64_t count, const Hyper *h, int threads)
{
    Scratch s = {0};
    for (int64_t k = 0; k < count; k++) {
        const Task *t = tasks + k;
        if (t->cover != COVER_SLICES && t->cover != COVER_BLOCKS) continue;
        if (t->cols > s.cols) s.cols = t->cols;
        if (t->cover == COVER_SLICES && t->cols > STRIP && t->rows > s.rows) s.rows = t->rows;
    }
    s.c = malloc(threads * (2 * s.cols + s.rows) * 4 + 64);
    if (!s.c) return -1;
    s.cnew = (uint32_t *)s.c + threads * s.cols;
    s.rold = s.cnew + threads * s.cols;
    for (int64_t k = 0; k < count; k++)
        if (threads == 1 || tasks[k].rows * tasks[k].cols >= PARALLEL_FROM) run_task(tasks + k, h, &s, 0, threads);
#ifdef _OPENMP
    if (threads > 1) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 4)
        for (int64_t k = 0; k < count; k++)
            if (tasks[k].rows * tasks[k].cols < PARALLEL_FROM)
                run_task(tasks + k, h, &s, omp_get_thread_num(), 1);
    }
#endif
    free(s.c);
    return 0;
}

/* ---- Python ---- */

static int usable_threads(int asked)
{
#ifdef _OPENMP
    return asked < 1 ? 1 : asked > MAX_THREADS ? MAX_THREADS : asked;
#else
    return 1;
#endif
}

static PyObject *py_step(PyObject *self, PyObject *args)
{
    unsigned long long address;
    Py_ssize_t count;
    int threads, failed;
    Hyper h;
    if (!PyArg_ParseTuple(args, "Kni(fffffff)", &address, &count, &threads, &h.sign, &h.keep, &h.gain, &h.beta,
                          &h.blend, &h.decay, &h.lr))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    failed = run_tasks((const Task *)(uintptr_t)address, count, &h, usable_threads(threads));
    Py_END_ALLOW_THREADS
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *py_first_nonfinite(PyObject *self, PyObject *args)
{
    unsigned long long address;
    Py_ssize_t count, found = -1;
    int threads;
    if (!PyArg_ParseTuple(args, "Kni", &address, &count, &threads)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    const int64_t *pairs = (const int64_t *)(uintptr_t)address;
    for (Py_ssize_t k = 0; k < count && found < 0; k++) {
        const float *g = (const float *)pairs[2 * k];
        int64_t n = pairs[2 * k + 1], pieces = n < PARALLEL_FROM ? 1 : tiles(n, PARALLEL_FROM), bad = 0;
#ifdef _OPENMP
#pragma omp parallel for num_threads(usable_threads(threads)) reduction(| : bad) if (threads > 1 && pieces > 1)
#endif
        for (int64_t piece = 0; piece < pieces; piece++) {
            int64_t start = piece * PARALLEL_FROM;
            if (!bad) bad |= !all_finite(g + start, least(PARALLEL_FROM, n - start));
        }
        if (bad) found = k;
    }
    Py_END_ALLOW_THREADS
    return PyLong_FromSsize_t(found);
}

static PyObject *py_use_instructions(PyObject *self, PyObject *args)
{
    const char *wanted = NULL, *used;
    if (!PyArg_ParseTuple(args, "|z", &wanted)) return NULL;
    used = use_instructions(wanted);
    if (!used) return PyErr_Format(PyExc_ValueError, "this processor or build has no instruction set '%s'", wanted);
    return PyUnicode_FromString(used);
}

static PyMethodDef methods[] = {
    {"step", py_step, METH_VARARGS, "Step `count` tasks at `address` by `threads` threads."},
    {"first_nonfinite", py_first_nonfinite, METH_VARARGS,
     "Position of the first of `count` (address, length) pairs that holds NaN or inf, or -1."},
    {"use_instructions", py_use_instructions, METH_VARARGS,
     "Take 'baseline', 'avx2' or 'avx512', or the widest there is; returns its name."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_cpu", "SM3's CPU kernel.", -1, methods};

PyMODINIT_FUNC PyInit__cpu(void)
{
    use_instructions(0);
    PyObject *made = PyModule_Create(&module);
    if (made) {
        PyModule_AddIntConstant(made, "TASK_WORDS", sizeof(Task) / 8);
        PyModule_AddIntConstant(made, "MAX_TRAILING", MAX_TRAILING);
#ifdef _OPENMP
        PyModule_AddIntConstant(made, "OPENMP", 1);
#else
        PyModule_AddIntConstant(made, "OPENMP", 0);
#endif
    }
    return made;
}
