/* What a step is told, and the bits of numbers: shared by step.c and the rows it is compiled from.
   Included once, after Python.h. */

#include <stdint.h>
#include <string.h>

#define EPSILON 1e-30f
#define MAX_TRAILING 7
#define STRIP 16384          /* columns taken at once, so that bounds and maxima stay in the second-level cache */
#define QUADS_FROM 2304      /* columns from which four rows at once share them */
#define RUN 256              /* entries that share a scale in int8 momentum; STRIP is a multiple */
#define PARALLEL_FROM 65536  /* entries from which one tensor is worth several threads */

enum { BOUND_ROW = 1, BOUND_COL = 2, BOUND_EACH = 4 };
enum { MOMENT_NONE = 0, MOMENT_F32 = 1, MOMENT_BF16 = 2, MOMENT_INT8 = 3 };
enum { COVER_SLICES = 0, COVER_BLOCKS = 1, COVER_SINGLETONS = 2, COVER_WHOLE = 3 };

/* No two operands of a row overlap. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define INDEPENDENT _Pragma("GCC ivdep")
#else
#define INDEPENDENT
#endif

typedef struct {
    float sign;   /* -1 to maximize */
    float keep;   /* beta2, or 1 */
    float gain;   /* 1 - beta2, or 1 */
    float beta;   /* momentum */
    float blend;  /* 1 - momentum */
    float decay;  /* 1 - lr * weight_decay */
    float lr;
} Hyper;

/* One tensor to step; sm3/kernels/cpu.py lays these int64 words out in this order. */
typedef struct {
    int64_t w, g, m, scale;       /* addresses; m and scale may be 0 */
    int64_t moment;               /* MOMENT_* */
    int64_t cover;                /* COVER_* */
    int64_t rows, cols;
    int64_t mu;                   /* slices: accumulator of dim 0, or 0; else the only accumulator */
    int64_t row_edge;             /* blocks: the tile's edge along dim 0 */
    int64_t trailing;             /* number of trailing dims below */
    int64_t size[MAX_TRAILING];   /* their sizes */
    int64_t of[MAX_TRAILING];     /* slices: their accumulators, or 0; blocks: their edges */
} Task;

/* A run of rows within a strip of columns. */
typedef struct {
    float *w;
    const float *g;
    char *m;
    float *scale;           /* of int8 momentum: one a run */
    uint32_t *r;            /* new row maxima */
    const uint32_t *rold;   /* row accumulators; may be r itself where `first` is all there is */
    const float *c;
    uint32_t *cnew;
    int64_t rows, width, stride, runs;
    int first;              /* whether r starts at 0 rather than at what it holds */
} Band;

static inline float as_float(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline uint32_t as_bits(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }
static inline float from_bf16(uint16_t half) { return as_float((uint32_t)half << 16); }
static inline uint16_t to_bf16(float x)
{
    uint32_t bits = as_bits(x);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : (uint16_t)rounded;
}
static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t tiles(int64_t size, int64_t edge) { return (size + edge - 1) / edge; }
