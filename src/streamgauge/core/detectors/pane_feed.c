/* Adds a pane's counts to what rows gather; see pane_feed.py, which is its only caller.

   The same sums as there and in Tolerance.bounds, in double precision and in the same order, so
   with the same bits; one row after the other instead of one operation after the other. */

#include <math.h>
#include <stdint.h>

#include "vectors.h"

#ifndef LAYOUT
#define LAYOUT 1 /* of the structures below; pane_feed.py has the same number */
#endif

/* Q series over W cells: cells [first, last) among [whole, end); and J sides, rises first. */
struct table {
  int64_t width;
  int64_t series;
  int64_t sides;
  const int64_t *first; /* (Q) each */
  const int64_t *last;
  const int64_t *whole;
  const int64_t *end;
  const int64_t *falling;  /* (J − Q) the series whose fall is judged */
  const uint8_t *compared; /* (Q) whether only rows of the reference are judged */
};

/* What the reference tolerates of its rows, in the hour of the pane. */
struct tolerance {
  const double *share; /* (rows of the reference, Q) */
  const double *error;
  const double *room; /* (Q) */
  double errors;      /* standard errors that are tolerated besides */
  double least;       /* nearer to 0 or 1 shares that an hour moves are not taken to be */
  int64_t by_hour;    /* whether hours differ; if not, the next two are nothing */
  const double *odds; /* (Q) by how much the odds differ in this hour */
  const double *hour_error; /* (Q) the square of the hour's standard error */
};

/* Counts of k rows, and what they add to. */
struct pane {
  int64_t count;
  const int64_t *rows;   /* (k) */
  const int64_t *known;  /* (k) rows of the reference, below 0 where it has none */
  const int64_t *counts; /* (k, W) */
  float *present;        /* (R, Q) each, of all rows */
  float *total;
  float *expected;
  float *largest; /* (R, J) */
  int64_t *sums;  /* (W + 1), room to work in */
  double *figures; /* (4, Q), room to work in */
};

INLINE double smaller(double x, double y) { return x < y ? x : y; }
INLINE double larger(double x, double y) { return x > y ? x : y; }

/* Sets the shares that are expected, and the largest that are tolerated of x and of 1 − x. */
WIDE static void bound(const struct table *table, const struct tolerance *tolerance, int64_t known,
                       double *restrict expected, double *restrict rise, double *restrict fall) {
  const int64_t series = table->series, at = (known < 0 ? 0 : known) * series;
  const double *share = tolerance->share + at, *error = tolerance->error + at;
  const double *room = tolerance->room, *odds = tolerance->odds, *more = tolerance->hour_error;
  const double errors = tolerance->errors, least = tolerance->least, most = 1.0 - least;
  if (tolerance->by_hour) {
    for (int64_t q = 0; q < series; q++) {
      double inner = smaller(larger(share[q], least), most);
      double moved = inner * odds[q] / (1.0 - inner + inner * odds[q]);
      expected[q] = share[q] > 0.0 ? moved : share[q];
      rise[q] = room[q] + errors * sqrt(error[q] * error[q] + more[q]);
    }
  } else {
    for (int64_t q = 0; q < series; q++) {
      expected[q] = share[q];
      rise[q] = room[q] + errors * error[q];
    }
  }
  for (int64_t q = 0; q < series; q++) {
    double free = rise[q];
    uint8_t unjudged = known < 0 && table->compared[q];
    rise[q] = unjudged ? 1.0 : smaller(expected[q] + free, 1.0);
    fall[q] = unjudged ? 1.0 : smaller(1.0 - expected[q] + free, 1.0);
  }
}

void streamgauge_feed(const struct table *table, const struct tolerance *tolerance,
                      const struct pane *pane) {
  const int64_t series = table->series, width = table->width;
  double *shares = pane->figures, *rise = shares + series, *fall = rise + series;
  double *events = fall + series;
  for (int64_t i = 0; i < pane->count; i++) {
    const int64_t *counts = pane->counts + i * width;
    const int64_t at = pane->rows[i] * series;
    float *present = pane->present + at, *total = pane->total + at;
    float *expected = pane->expected + at, *largest = pane->largest + pane->rows[i] * table->sides;
    pane->sums[0] = 0;
    for (int64_t cell = 0; cell < width; cell++)
      pane->sums[cell + 1] = pane->sums[cell] + counts[cell];
    bound(table, tolerance, pane->known[i], shares, rise, fall);
    for (int64_t q = 0; q < series; q++) {
      events[q] = (double)(pane->sums[table->end[q]] - pane->sums[table->whole[q]]);
      present[q] += (double)(pane->sums[table->last[q]] - pane->sums[table->first[q]]);
      total[q] += events[q];
      expected[q] += shares[q] * events[q];
      largest[q] += rise[q] * events[q];
    }
    for (int64_t j = series; j < table->sides; j++) {
      int64_t q = table->falling[j - series];
      largest[j] += fall[q] * events[q];
    }
  }
}

int64_t streamgauge_layout(void) { return LAYOUT; }
