/* What rows' updates tell of their dispersion; see dispersion.py, which is its only caller.

   The same sums as there, in double precision and in the same order, so with the same bits; one row
   after the other instead of one operation after the other over all of them. */

#include <stdint.h>

#include "vectors.h"

#ifndef LAYOUT
#define LAYOUT 1 /* of the structures below; dispersion.py has the same number */
#endif

/* Figures of blocks of all R rows and Q series, each (R, Q). */
struct blocks {
  int64_t series;
  float *blocks;
  float *squares;
  float *b;
  float *c;
};

/* An update of k rows: counts and expected shares, each (k, Q). */
struct update {
  int64_t count;
  const int64_t *rows; /* (k) */
  const double *present;
  const double *total;
  const double *expected;
  double kept;        /* of earlier blocks, with each new one */
  double least_share; /* nearer to 0 or 1 shares are not taken to be */
  float *more;        /* (R, Q) each: the day so far, by how much there were more than expected, */
  float *events;      /* all events, */
  float *due;         /* and expected ones */
};

static const double LEAST = 1e-12;

INLINE double larger(double x, double y) { return x > y ? x : y; }
INLINE double smaller(double x, double y) { return x < y ? x : y; }

WIDE static void add_row(const struct update *update, int64_t i, int64_t series,
                         float *restrict blocks, float *restrict squares, float *restrict b,
                         float *restrict c, float *restrict more, float *restrict events,
                         float *restrict due) {
  const double *present = update->present + i * series, *total = update->total + i * series;
  const double *expected = update->expected + i * series;
  const double kept = update->kept, least = update->least_share, most = 1.0 - least;
  for (int64_t q = 0; q < series; q++) {
    double center = expected[q] + b[q] / larger(c[q], LEAST);
    double share = smaller(larger(center, least), most);
    double binomial = share * (1.0 - share);
    double mean = total[q] * expected[q], residual = present[q] - mean;
    double square = residual * residual / larger(total[q] * binomial, LEAST);
    double seen = total[q] > 0.0 ? 1.0 : 0.0, keep = total[q] > 0.0 ? kept : 1.0;
    squares[q] = (float)(squares[q] * keep + square);
    b[q] = (float)(b[q] * keep + residual / binomial);
    c[q] = (float)(c[q] * keep + total[q] / binomial);
    blocks[q] = (float)(blocks[q] * keep + seen);
    more[q] = (float)(more[q] + residual);
    events[q] = (float)(events[q] + total[q]);
    due[q] = (float)(due[q] + mean);
  }
}

/* Takes in the updates of some rows. */
void streamgauge_add(const struct blocks *all, const struct update *update) {
  const int64_t series = all->series;
  for (int64_t i = 0; i < update->count; i++) {
    const int64_t at = update->rows[i] * series;
    add_row(update, i, series, all->blocks + at, all->squares + at, all->b + at, all->c + at,
            update->more + at, update->events + at, update->due + at);
  }
}

WIDE static void raise_row(int64_t series, const float *restrict blocks,
                           const float *restrict squares, const float *restrict b,
                           const float *restrict c, double fewest, double *restrict phi) {
  for (int64_t q = 0; q < series; q++) {
    double about = squares[q] - (double)b[q] * b[q] / larger(c[q], LEAST);
    double seen = about / larger(blocks[q] - 1.0, 1.0);
    phi[q] = blocks[q] >= fewest && seen > phi[q] ? seen : phi[q];
  }
}

/* Raises phi (k, Q) to what the blocks of k rows show, of series with no fewer than so many. */
void streamgauge_raise(const struct blocks *all, int64_t count, const int64_t *rows,
                       double fewest, double *phi) {
  const int64_t series = all->series;
  for (int64_t i = 0; i < count; i++) {
    const int64_t at = rows[i] * series;
    raise_row(series, all->blocks + at, all->squares + at, all->b + at, all->c + at, fewest,
              phi + i * series);
  }
}

int64_t streamgauge_layout(void) { return LAYOUT; }
