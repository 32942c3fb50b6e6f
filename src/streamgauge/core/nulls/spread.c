/* How much a row's norms vary with the direction; see spread.py, which is its only caller.

   Norms are the same single precision numbers as there. Their logarithm is to seven digits, so that
   shares differ from those of numpy by as much. */

#include <float.h>
#include <stdint.h>
#include <string.h>

#include "vectors.h"

#ifndef LAYOUT
#define LAYOUT 1 /* of the structures below; spread.py has the same number */
#endif

enum { TVD, LINF, KS, WASSERSTEIN, NORMS };
/* Directions at once, and where the spread is binned; spread.py has the same numbers. */
enum { LANES = 64, PLACES = 241 };

/* What R rows of B bins are given with, and what is made of them. */
struct simulation {
  int64_t rows, bins, count; /* `count` directions */
  const float *share;        /* (R, B) */
  const uint8_t *filled;     /* (R, B) */
  const float *gaps;         /* (R, B - 1), NULL where bins have no order */
  const float *directions;   /* (count / LANES, B, LANES) */
  double lowest, step;       /* of ln(T / root mean square), where it is binned */
  float *sizes;              /* (NORMS, count), to work in */
  double *second;            /* (R, NORMS): mean square */
  double *shares;            /* (R, NORMS, PLACES), of the directions */
};

INLINE float larger(float x, float y) { return x > y ? x : y; }
INLINE float size_of(float x) { return x < 0.0f ? -x : x; }

/* ln x of a normal number above 0: by its exponent, and 2 artanh((m - 1)/(m + 1)) of the rest m. */
INLINE float logarithm(float x) {
  int32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const int32_t exponent = (bits - 0x3f3504f3) >> 23; /* m lies between the roots of 1/2 and 2 */
  bits -= exponent * (1 << 23);
  float m;
  memcpy(&m, &bits, sizeof m);
  const float s = (m - 1.0f) / (m + 1.0f), q = s * s;
  return (float)exponent * 0.69314718f +
         2.0f * s * (1.0f + q * (1.0f / 3.0f + q * (1.0f / 5.0f + q * (1.0f / 7.0f))));
}

/* A number for each of LANES directions. */
struct lanes {
  float along[LANES], length[LANES], difference[LANES], sum[LANES], most[LANES];
  float running[LANES], furthest[LANES], area[LANES];
};

INLINE void project(struct lanes *restrict on, const float *restrict u, float root, float there) {
  for (int l = 0; l < LANES; l++) {
    on->along[l] += root * u[l];
    on->length[l] += there * (u[l] * u[l]);
  }
}

INLINE void take_bin(struct lanes *restrict on, const float *restrict u, float root, float share) {
  for (int l = 0; l < LANES; l++) {
    const float difference = (root * u[l] - share * on->along[l]) / on->length[l];
    const float size = size_of(difference);
    on->difference[l] = difference;
    on->sum[l] += size;
    on->most[l] = larger(on->most[l], size);
  }
}

INLINE void take_order(struct lanes *on, float gap) {
  for (int l = 0; l < LANES; l++) {
    const float running = on->running[l] + on->difference[l], size = size_of(running);
    on->running[l] = running;
    on->furthest[l] = larger(on->furthest[l], size);
    on->area[l] += size * gap;
  }
}

/* The norms of one row for LANES directions, which begin at `first`. */
INLINE void norms_of(const struct simulation *given, int64_t first, const float *restrict share,
                     const float *restrict root, const uint8_t *restrict filled,
                     const float *restrict gaps) {
  const int64_t bins = given->bins, count = given->count;
  const float *u = given->directions + first * bins;
  struct lanes on;
  memset(&on, 0, sizeof on);
  for (int64_t b = 0; b < bins; b++) project(&on, u + b * LANES, root[b], filled[b] ? 1.0f : 0.0f);
  for (int l = 0; l < LANES; l++)
    on.length[l] = __builtin_sqrtf(larger(on.length[l] - on.along[l] * on.along[l], 1e-6f));
  for (int64_t b = 0; b < bins; b++) {
    take_bin(&on, u + b * LANES, root[b], share[b]);
    if (gaps && b < bins - 1) take_order(&on, gaps[b]);
  }
  float *sizes = given->sizes + first;
  for (int l = 0; l < LANES; l++) {
    sizes[TVD * count + l] = on.sum[l] / 2.0f;
    sizes[LINF * count + l] = on.most[l];
    sizes[KS * count + l] = on.furthest[l];
    sizes[WASSERSTEIN * count + l] = on.area[l];
  }
}

/* Puts in place of sizes where between the bins of the spread they are. */
INLINE void place(float *restrict sizes, int64_t count, float scale, float lowest, float step) {
  const float last = PLACES - 1.001f;
  for (int64_t i = 0; i < count; i++) {
    const float at = (logarithm(larger(sizes[i] * scale, FLT_MIN)) - lowest) / step;
    sizes[i] = at < 0.0f ? 0.0f : at > last ? last : at;
  }
}

INLINE double square_mean(const float *restrict sizes, int64_t count) {
  double parts[8] = {0};
  for (int64_t i = 0; i < count; i += 8)
    for (int l = 0; l < 8; l++) parts[l] += (double)sizes[i + l] * sizes[i + l];
  double square = 0.0;
  for (int l = 0; l < 8; l++) square += parts[l];
  return square / (double)count;
}

/* Bins places, each split over its two neighbours, into shares. */
INLINE void bin(const float *restrict at, int64_t count, double *restrict shares) {
  /* Two of each, in turns: neighbours are often in one bin, and would wait for each other. */
  double parts[2][PLACES] = {{0}}, all[2][PLACES] = {{0}};
  for (int64_t i = 0; i < count; i++) {
    const int32_t left = (int32_t)at[i];
    parts[i & 1][left] += (double)at[i] - (double)left;
    all[i & 1][left] += 1.0;
  }
  double before = 0.0;
  for (int64_t i = 0; i < PLACES; i++) {
    const double right = parts[0][i] + parts[1][i];
    shares[i] = (all[0][i] + all[1][i] - right + before) / (double)count;
    before = right;
  }
}

WIDE static void simulate_row(const struct simulation *given, int64_t row, float *restrict root) {
  const int64_t bins = given->bins, count = given->count;
  const float *share = given->share + row * bins;
  const uint8_t *filled = given->filled + row * bins;
  const float *gaps = given->gaps ? given->gaps + row * (bins - 1) : 0;
  int64_t there = 0;
  for (int64_t b = 0; b < bins; b++) {
    root[b] = __builtin_sqrtf(share[b]);
    there += filled[b] != 0;
  }
  if (there < 2)
    memset(given->sizes, 0, sizeof(float) * NORMS * (size_t)count);
  else
    for (int64_t first = 0; first < count; first += LANES)
      norms_of(given, first, share, root, filled, gaps);
  for (int norm = 0; norm < NORMS; norm++) {
    float *sizes = given->sizes + norm * count;
    const double square = square_mean(sizes, count);
    const double scale = square > 0.0 ? 1.0 / __builtin_sqrt(square) : 1.0;
    given->second[row * NORMS + norm] = square;
    place(sizes, count, (float)scale, (float)given->lowest, (float)given->step);
    bin(sizes, count, given->shares + (row * NORMS + norm) * PLACES);
  }
}

/* Simulates all rows; `root` (B) is to work in. */
void streamgauge_simulate(const struct simulation *given, float *root) {
  for (int64_t row = 0; row < given->rows; row++) simulate_row(given, row, root);
}

int64_t streamgauge_layout(void) { return LAYOUT; }
