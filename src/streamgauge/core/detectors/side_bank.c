/* Moves the evidence of many rows on; see side_bank.py, which is its only caller.

   The same sums as there, one row after the other, so that all that belongs to a row stays in the
   nearest cache. Logarithms and exponentials are polynomials without branches or tables, which a
   compiler makes vector instructions of. What is multiplied by numbers of events is exact to 1e-15
   or so; what is added once, up to log 2, to 1e-7: as good as the 32 bits in which evidence is
   kept, which are good to 1e-6 at thresholds of 10 and more. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "vectors.h"

#ifndef LAYOUT
#define LAYOUT 2 /* of the structures below; side_bank.py has the same number */
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
  double *figures;           /* (7, J), room to work in */
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
#define LN2_SHORT_HIGH 0x1.62e4p-1f /* the same in 32 bits */
#define LN2_SHORT_LOW 0x1.7f7d1cp-20f

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

/* e^-x of x from 0 to 50: 2^n e^r with |r| <= ln 2 / 2, and Taylor's series to the 7th power. */
INLINE float exp_of(float x) {
  const float shift = 0x1.8p23f; /* added, it leaves the nearest integer in the low bits */
  float shifted = x * -1.44269504f + shift;
  float n = shifted - shift;
  float r = (-x - n * LN2_SHORT_HIGH) - n * LN2_SHORT_LOW;
  /* In pairs, and pairs of pairs: what does not wait for each other is worked on together. */
  float r2 = r * r;
  float a = (1.0f + r) + r2 * (0.5f + r * (1.0f / 6));
  float b = (1.0f / 24 + r * (1.0f / 120)) + r2 * (1.0f / 720 + r * (1.0f / 5040));
  float p = a + (r2 * r2) * b;
  uint32_t bits, power;
  memcpy(&bits, &p, sizeof bits);
  memcpy(&power, &shifted, sizeof power);
  bits += power << 23;
  memcpy(&p, &bits, sizeof p);
  return p;
}

/* log(1 + e) of e from 0 to 1: e times a polynomial that is log(1 + e) / e where Chebyshev's tenth
   is zero, and right to 5e-9 of itself between. */
INLINE float log_above(float e) {
  float e2 = e * e, e4 = e2 * e2;
  float a = (9.999999947e-01f - e * 4.999989265e-01f) +
            e2 * (3.332971050e-01f - e * 2.495161627e-01f);
  float b = (1.966327427e-01f - e * 1.526966710e-01f) +
            e2 * (1.054362384e-01f - e * 5.637361321e-02f);
  float c = 1.954252744e-02f - e * 3.176057053e-03f;
  return e * (a + e4 * (b + e4 * c));
}

/* A row, its sides' sums, and room to work in: see `move`. */
#define ROW                                                                                        \
  const struct bank *bank, const double *restrict present, const double *restrict total,           \
      const double *restrict tolerated, const double *restrict allowance, double *restrict top,    \
      double *restrict least, float *restrict rest, float *restrict log
#define GIVEN bank, present, total, tolerated, allowance, top, least, rest, log

/* Moves the J sides of one row on: log(E + allowance) + gain, of which `least` is what the larger
   of both alone makes, and `rest` the difference. `top` is the largest of each side. */
INLINE void move(ROW) {
  const int64_t sides = bank->sides;
  for (int64_t j = 0; j < sides; j++)
    top[j] = -INFINITY;
  for (int64_t k = 0; k < bank->alternatives; k++) {
    const double tilt = bank->tilts[k], growth = bank->growths[k];
    float *restrict mine = log + k * sides;
    for (int64_t j = 0; j < sides; j++) {
      double gain = tilt * present[j] - total[j] * log_of(1.0 + tolerated[j] * growth);
      double above = (double)mine[j] - allowance[j], size = fabs(above);
      least[j] = (above > 0.0 ? above : 0.0) + allowance[j] + gain;
      rest[j] = (float)(size < 50.0 ? size : 50.0); /* past this there is none, to the last bit */
    }
    for (int64_t j = 0; j < sides; j++)
      rest[j] = log_above(exp_of(rest[j]));
    for (int64_t j = 0; j < sides; j++) {
      double now = least[j] + (double)rest[j];
      top[j] = top[j] > now ? top[j] : now;
      mine[j] = (float)now;
    }
  }
}

/* The same as wide as processors can, with products and sums that are rounded at once. */
TARGET("avx512f") static void move_by_eight(ROW) {
  move(GIVEN);
}
TARGET("avx2,fma") static void move_by_four(ROW) {
  move(GIVEN);
}
static void move_by_two(ROW) { move(GIVEN); }

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
  double *allowance = tolerated + sides, *top = allowance + sides, *least = top + sides;
  float *rest = (float *)(least + sides);
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
    move_row(bank, present, total, tolerated, allowance, top, least, rest,
             update->log + row * bank->alternatives * sides);
    tell(bank, update, i);
  }
}

int64_t streamgauge_layout(void) { return LAYOUT; }
