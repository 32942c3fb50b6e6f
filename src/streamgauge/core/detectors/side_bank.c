/* Moves the evidence of many rows on; see side_bank.py, which is its only caller.

   The same sums as there, one row after the other, so that all that belongs to a row stays in the
   nearest cache. Logarithms and exponentials are polynomials without branches or tables, which a
   compiler makes vector instructions of, exact to 1e-15 or so: far below the 32 bits in which
   evidence is kept. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "vectors.h"

#ifndef LAYOUT
#define LAYOUT 1 /* of the structures below; side_bank.py has the same number */
#endif

/* What all rows have in common: Q series, J sides, S subjects, K alternatives. */
struct bank {
  int64_t series;
  int64_t sides;
  int64_t subjects;
  int64_t alternatives;
  const int64_t *series_of;  /* (J); the first Q are rises, the others falls */
  const int64_t *subject_of; /* (J) */
  const double *tilts;       /* (K) λ */
  const double *growths;     /* (K) e^λ − 1 */
  const double *shares;      /* (2, J) log of each side's part of a row's allowance */
  double *figures;           /* (5, J), room to work in */
};

/* What moves k rows on, and what is said of them. Arrays of R rows are of all that there are. */
struct update {
  int64_t count;
  const int64_t *rows;     /* (k) */
  float *log;              /* (R, K, J) */
  const float *present;    /* (R, Q) */
  const float *total;      /* (R, Q) */
  const float *largest;    /* (R, J) */
  const double *phi;       /* (k, Q) */
  const double *allowance; /* (k) */
  const uint8_t *known;    /* (k) */
  double *level;           /* (k, S) */
  uint8_t *reached;        /* (k) */
};

INLINE uint64_t bits_of(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

INLINE double of_bits(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* ln 2 in two parts, of which the first times a small integer is exact. */
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10

/* log y of y >= 1, as Sun's fdlibm does it: y = 2^e (1 + f) with 1 + f from √½ to √2, and a
   polynomial in s = f / (2 + f). */
INLINE double log_of(double y) {
  const uint64_t half_root = UINT64_C(0x3FE6A09E667F3BCD);
  uint64_t bits = bits_of(y);
  uint64_t e = (bits - half_root) >> 52;
  double exponent = of_bits(e | UINT64_C(0x4330000000000000)) - 0x1p52;
  double f = of_bits(bits - (e << 52)) - 1.0;
  double s = f / (2.0 + f);
  double z = s * s;
  double w = z * z;
  double even = w * (3.999999999940941908e-01 +
                     w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  double odd = z * (6.666666666666735130e-01 +
                    w * (2.857142874366239149e-01 +
                         w * (1.818357216161805012e-01 + w * 1.479819860510658591e-01)));
  double half = 0.5 * f * f;
  double rest = s * (half + (even + odd)) + exponent * LN2_LOW;
  return exponent * LN2_HIGH - ((half - rest) - f);
}

/* e^x of x from -700 to 0: 2^n e^r with |r| <= ln 2 / 2, and Taylor's series to the 11th power. */
INLINE double exp_of(double x) {
  const double shift = 0x1.8p52; /* added, it leaves the nearest integer in the low bits */
  double shifted = x * 1.44269504088896338700 + shift;
  double n = shifted - shift;
  double r = (x - n * LN2_HIGH) - n * LN2_LOW;
  /* In pairs, and pairs of pairs: what does not wait for each other is worked on together. */
  double r2 = r * r, r4 = r2 * r2;
  double a = (1.0 + r) + r2 * (0.5 + r * (1.0 / 6));
  double b = (1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040));
  double c = (1.0 / 40320 + r * (1.0 / 362880)) + r2 * (1.0 / 3628800 + r * (1.0 / 39916800));
  double p = a + r4 * (b + r4 * c);
  return of_bits(bits_of(p) + (bits_of(shifted) << 52));
}

/* log(1 + e^x), where x may be infinite. */
INLINE double grown_of(double x) {
  double size = fabs(x);
  double near = size < 50.0 ? size : 50.0; /* past this it is x, or nothing, to the last bit */
  return log_of(1.0 + exp_of(-near)) + (x > 0.0 ? x : 0.0);
}

/* A row, and its sides' sums: see `move`. */
#define ROW                                                                                        \
  const struct bank *bank, const double *restrict present, const double *restrict total,           \
      const double *restrict tolerated, const double *restrict allowance, double *restrict top,    \
      float *restrict log

/* Moves the J sides of one row on; `top` is the largest of each. */
INLINE void move(ROW) {
  const int64_t sides = bank->sides;
  for (int64_t j = 0; j < sides; j++)
    top[j] = -INFINITY;
  for (int64_t k = 0; k < bank->alternatives; k++) {
    const double tilt = bank->tilts[k], growth = bank->growths[k];
    float *restrict mine = log + k * sides;
    for (int64_t j = 0; j < sides; j++) {
      double gain = tilt * present[j] - total[j] * log_of(1.0 + tolerated[j] * growth);
      double now = grown_of((double)mine[j] - allowance[j]) + allowance[j] + gain;
      top[j] = top[j] > now ? top[j] : now;
      mine[j] = (float)now;
    }
  }
}

/* The same as wide as processors can, with products and sums that are rounded at once. */
TARGET("avx512f") static void move_by_eight(ROW) {
  move(bank, present, total, tolerated, allowance, top, log);
}
TARGET("avx2,fma") static void move_by_four(ROW) {
  move(bank, present, total, tolerated, allowance, top, log);
}
static void move_by_two(ROW) { move(bank, present, total, tolerated, allowance, top, log); }

typedef void (*mover)(ROW);

static mover widest(void) {
  if (HAS("avx512f"))
    return move_by_eight;
  return HAS("avx2") && HAS("fma") ? move_by_four : move_by_two;
}

/* What the row at place i says, from the largest evidence of each of its sides. */
static void tell(const struct bank *bank, const struct update *update, int64_t i) {
  const int64_t sides = bank->sides, row = update->rows[i];
  const float *total = update->total + row * bank->series;
  const double *phi = update->phi + i * bank->series;
  const double *tolerated = bank->figures + 2 * sides, *allowance = bank->figures + 3 * sides;
  const double *top = bank->figures + 4 * sides;
  double *level = update->level + i * bank->subjects;
  float *log = update->log + row * bank->alternatives * sides;
  memset(level, 0, (size_t)bank->subjects * sizeof *level);
  update->reached[i] = 0;
  for (int64_t j = 0; j < sides; j++) {
    int64_t q = bank->series_of[j];
    if (!isfinite(phi[q])) {
      for (int64_t k = 0; k < bank->alternatives; k++)
        log[k * sides + j] = -INFINITY;
      continue;
    }
    update->reached[i] |= top[j] >= 0.0;
    double above = top[j] - allowance[j];
    if (total[q] > 0.0f && tolerated[j] < 1.0 && above > level[bank->subject_of[j]])
      level[bank->subject_of[j]] = above;
  }
}

void streamgauge_move_on(const struct bank *bank, const struct update *update) {
  const int64_t sides = bank->sides;
  double *present = bank->figures, *total = present + sides, *tolerated = total + sides;
  double *allowance = tolerated + sides, *top = allowance + sides;
  const mover move_row = widest();
  for (int64_t i = 0; i < update->count; i++) {
    const int64_t row = update->rows[i];
    const float *seen = update->present + row * bank->series;
    const float *gathered = update->total + row * bank->series;
    const float *largest = update->largest + row * sides;
    const double *phi = update->phi + i * bank->series;
    const double *shares = bank->shares + (update->known[i] ? sides : 0);
    for (int64_t j = 0; j < sides; j++) {
      int64_t q = bank->series_of[j];
      double all = gathered[q], with = seen[q] / phi[q];
      total[j] = all / phi[q];
      present[j] = j < bank->series ? with : total[j] - with;
      tolerated[j] = largest[j] / (all > 1.0 ? all : 1.0);
      allowance[j] = update->allowance[i] + shares[j];
    }
    move_row(bank, present, total, tolerated, allowance, top,
             update->log + row * bank->alternatives * sides);
    tell(bank, update, i);
  }
}

int64_t streamgauge_layout(void) { return LAYOUT; }
