/* Looks values up, tells slices apart, and counts all columns of some events: see counting.py and
   one_pass.py, which are its only callers.

   A column is taken a block at a time, so that what is made of its values on the way (bins, and what
   is added up) stays in the nearest cache, and counted by place in memory of its own, which is small,
   too: the rows of all its fields, which are long, see it once, at its end. */

#include <stdint.h>
#include <string.h>

#include "vectors.h"

#ifndef LAYOUT
#define LAYOUT 4 /* of what is handed over; counting.py has the same number */
#endif
enum {
  BLOCK = 512,  /* events at a time */
  LANES = 8,    /* sums that are added up side by side */
  FEW = 32      /* edges up to which it is quicker to compare with each */
};
#define LARGEST 1e150 /* cells.py has the same number */

/* Where the edges of a field's bins are; see lookup.py. */
struct lookup {
  double low;
  double factor;
  int64_t cells;       /* 0 where there is no table */
  const int16_t *base; /* (cells) */
  const double *edges; /* (count + 1), ascending; the last is NaN */
  int64_t count;       /* of edges */
};

/* A field of n events: numbers, not finite where there is none, or codes. Its bins are below width,
   those for slices below fewer_width; its cells begin at start, or fewer_start, of a row. */
struct column {
  struct lookup lookup;     /* of numbers */
  const double *numbers;    /* (n), NULL where there are codes */
  const int32_t *codes;     /* (n) from -2 on */
  const int16_t *of_codes;  /* (many) their bins */
  int64_t many;
  double center;            /* what numbers are added up about */
  int64_t moment;           /* its place among the fields that are added up */
  int64_t missing, above, below; /* the bins of NaN and of infinities */
  int64_t served;           /* whether it counts only events that were served */
  int64_t faults;           /* how many values have a bin of their own */
  const int32_t *fault_rows; /* (faults) ascending */
  const int16_t *fault_bins; /* (faults) */
  const int16_t *fewer;     /* (width) the bins for slices, NULL where they are the same */
  int64_t start, width;
  int64_t fewer_start, fewer_width;
  int16_t *bins;            /* (n) is given them, unless it is NULL */
};

/* Rows of counts, which are added up of places. */
struct member {
  int64_t size;
  const int32_t *rows; /* (places) of each place, below size */
  void *counts;        /* (size, width) */
  double *sums;        /* (size, moments, 2) */
  double *extremes;    /* likewise, or NULL */
};

/* Where n events fall; the memory is one place larger, for those that were not served. */
struct tally {
  int64_t places;
  const int32_t *place;  /* (n) below places */
  const int32_t *served; /* (n) places where it was not; the same array where all were */
  int64_t fewer;         /* whether it is counted in the bins for slices */
  int64_t width, moments;
  int64_t members;
  const struct member *member;
  void *counts;     /* (places + 1, greatest width) */
  double *sums;     /* (places + 1, 2) */
  double *extremes; /* (places + 1, 2), or NULL */
};

/* What a block's events have in a column. */
struct block {
  int64_t first, n;
  int32_t bins[BLOCK];
  int32_t fewer[BLOCK];
  double first_powers[BLOCK];  /* x - c, 0 where there is no number */
  double second_powers[BLOCK]; /* its square */
  int whole;                   /* whether all are finite */
};

/* -- bins ------------------------------------------------------------------------------------- */

/* How many of the edges are at or below a value. */
static int32_t searched(const struct lookup *lookup, double value) {
  /* Halved without branches, of which half would be guessed wrong. */
  const double *from = lookup->edges;
  int64_t n = lookup->count;
  for (; n > 1; n -= n / 2) from += from[n / 2 - 1] <= value ? n / 2 : 0;
  return (int32_t)(from - lookup->edges + (n && *from <= value));
}

/* The same of at most BLOCK values, by the table; that of a NaN is any. */
WIDE static void look_up(const struct lookup *lookup, int64_t n, const double *restrict values,
                         int32_t *restrict bins) {
  const double low = lookup->low, factor = lookup->factor, last = (double)(lookup->cells - 1);
  for (int64_t i = 0; i < n; i++) {
    double scaled = (values[i] - low) * factor;
    bins[i] = (int32_t)(scaled < last ? (scaled > 0.0 ? scaled : 0.0) : last);
  }
  for (int64_t i = 0; i < n; i++) {
    int32_t base = lookup->base[bins[i]];
    bins[i] = base < 0 ? searched(lookup, values[i]) : base + (values[i] >= lookup->edges[base]);
  }
}

/* The same by comparing with every edge. */
WIDE static void compare(const struct lookup *lookup, int64_t n, const double *restrict values,
                         int32_t *restrict bins) {
  memset(bins, 0, (size_t)n * sizeof *bins);
  for (int64_t edge = 0; edge < lookup->count; edge++) {
    const double low = lookup->edges[edge];
    for (int64_t i = 0; i < n; i++) bins[i] += values[i] >= low;
  }
}

/* The powers of a block's numbers about c; whether all are finite. */
WIDE static int raise(int64_t n, const double *restrict values, double center,
                      double *restrict first, double *restrict second) {
  int64_t strange = 0;
  for (int64_t i = 0; i < n; i++) {
    double x = values[i] - center;
    strange += !(values[i] - values[i] == 0.0);
    x = x < -LARGEST ? -LARGEST : x;
    x = x > LARGEST ? LARGEST : x;
    first[i] = x;
    second[i] = x * x;
  }
  return strange == 0;
}

/* The same in the best of these ways. */
static void find_bins(const struct lookup *lookup, int64_t n, const double *values,
                      int32_t *bins) {
  if (lookup->cells)
    look_up(lookup, n, values, bins);
  else if (lookup->count <= FEW)
    compare(lookup, n, values, bins);
  else
    for (int64_t i = 0; i < n; i++) bins[i] = searched(lookup, values[i]);
}

static void take_numbers(const struct column *column, struct block *block) {
  const double *values = column->numbers + block->first;
  find_bins(&column->lookup, block->n, values, block->bins);
  block->whole =
      raise(block->n, values, column->center, block->first_powers, block->second_powers);
  if (block->whole) return;
  for (int64_t i = 0; i < block->n; i++) {
    double value = values[i];
    if (value - value == 0.0) continue;
    block->bins[i] =
        (int32_t)(value != value ? column->missing : value > 0.0 ? column->above : column->below);
    block->first_powers[i] = block->second_powers[i] = 0.0;
  }
}

/* 0 where a code has no bin. */
static int take_codes(const struct column *column, struct block *block) {
  const int32_t *codes = column->codes + block->first;
  for (int64_t i = 0; i < block->n; i++) {
    int64_t code = (int64_t)codes[i] + 2;
    if (code < 0 || code >= column->many) return 0;
    block->bins[i] = column->of_codes[code];
  }
  return 1;
}

/* -- counts ----------------------------------------------------------------------------------- */

/* Added up in LANES sums, so in the same order whatever the processor's width. */
WIDE static double sum(int64_t n, const double *values) {
  double lanes[LANES] = {0}, all = 0.0;
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int64_t lane = 0; lane < LANES; lane++) lanes[lane] += values[i + lane];
  for (; i < n; i++) all += values[i];
  for (int64_t lane = 0; lane < LANES; lane++) all += lanes[lane];
  return all;
}

WIDE static void stretch(int64_t n, const double *values, double *extremes) {
  double low[LANES], high[LANES];
  int64_t i = 0;
  for (int64_t lane = 0; lane < LANES; lane++) low[lane] = extremes[0], high[lane] = extremes[1];
  for (; i + LANES <= n; i += LANES)
    for (int64_t lane = 0; lane < LANES; lane++) {
      double value = values[i + lane];
      low[lane] = value < low[lane] ? value : low[lane];
      high[lane] = value > high[lane] ? value : high[lane];
    }
  for (; i < n; i++) {
    low[0] = values[i] < low[0] ? values[i] : low[0];
    high[0] = values[i] > high[0] ? values[i] : high[0];
  }
  for (int64_t lane = 0; lane < LANES; lane++) {
    extremes[0] = low[lane] < extremes[0] ? low[lane] : extremes[0];
    extremes[1] = high[lane] > extremes[1] ? high[lane] : extremes[1];
  }
}

/* The same of values some of which are not finite. */
WIDE static void stretch_finite(int64_t n, const double *values, double *extremes) {
  double some[BLOCK];
  int64_t kept = 0;
  for (int64_t i = 0; i < n; i++) {
    some[kept] = values[i];
    kept += values[i] - values[i] == 0.0;
  }
  stretch(kept, some, extremes);
}

/* What is added up, and how far it reaches, where all events fall at the one place there is. */
static void add_all(const struct tally *tally, const struct block *block, const double *values) {
  tally->sums[0] += sum(block->n, block->first_powers);
  tally->sums[1] += sum(block->n, block->second_powers);
  if (!tally->extremes) return;
  if (block->whole)
    stretch(block->n, values, tally->extremes);
  else
    stretch_finite(block->n, values, tally->extremes);
}

static void reach(const struct tally *tally, const struct block *block, const int32_t *place,
                  const double *values) {
  for (int64_t i = 0; i < block->n; i++) {
    double *mine = tally->extremes + 2 * place[i], value = values[i];
    if (!(value - value == 0.0)) continue;
    mine[0] = value < mine[0] ? value : mine[0];
    mine[1] = value > mine[1] ? value : mine[1];
  }
}

#define COUNT(NUMBER, ADD, FLUSH, NAME)                                                            \
  /* Adds a block to a tally's places. */                                                          \
  static void ADD(const struct tally *tally, const struct column *column,                         \
                  const struct block *block) {                                                     \
    const int32_t *bins = tally->fewer ? block->fewer : block->bins;                               \
    const int64_t width = tally->fewer ? column->fewer_width : column->width;                      \
    const int32_t *place = (column->served ? tally->served : tally->place) + block->first;         \
    const double *values = column->numbers ? column->numbers + block->first : NULL;                \
    NUMBER *counts = tally->counts;                                                                \
    if (tally->places == 1 && place == tally->place + block->first) {                              \
      for (int64_t i = 0; i < block->n; i++) counts[bins[i]]++;                                    \
      if (values) add_all(tally, block, values);                                                   \
      return;                                                                                      \
    }                                                                                              \
    if (!values) {                                                                                 \
      for (int64_t i = 0; i < block->n; i++) counts[place[i] * width + bins[i]]++;                 \
      return;                                                                                      \
    }                                                                                              \
    for (int64_t i = 0; i < block->n; i++) {                                                       \
      double *mine = tally->sums + 2 * place[i];                                                   \
      counts[place[i] * width + bins[i]]++;                                                        \
      mine[0] += block->first_powers[i];                                                           \
      mine[1] += block->second_powers[i];                                                          \
    }                                                                                              \
    if (tally->extremes) reach(tally, block, place, values);                                       \
  }                                                                                                \
                                                                                                   \
  /* Adds the places of a column to the rows of all members. */                                    \
  WIDE static void FLUSH(const struct tally *tally, const struct column *column) {                 \
    const int64_t width = tally->fewer ? column->fewer_width : column->width;                      \
    const int64_t start = tally->fewer ? column->fewer_start : column->start;                      \
    for (int64_t m = 0; m < tally->members; m++) {                                                 \
      const struct member *member = tally->member + m;                                             \
      for (int64_t place = 0; place < tally->places; place++) {                                    \
        const int64_t row = member->rows[place];                                                   \
        const NUMBER *from = (const NUMBER *)tally->counts + place * width;                        \
        NUMBER *to = (NUMBER *)member->counts + row * tally->width + start;                        \
        for (int64_t bin = 0; bin < width; bin++) to[bin] = (NUMBER)(to[bin] + from[bin]);         \
        if (!column->numbers) continue;                                                            \
        const int64_t at = 2 * (row * tally->moments + column->moment);                            \
        member->sums[at] += tally->sums[2 * place];                                                \
        member->sums[at + 1] += tally->sums[2 * place + 1];                                        \
        if (!member->extremes) continue;                                                           \
        double *mine = member->extremes + at, *found = tally->extremes + 2 * place;                \
        mine[0] = found[0] < mine[0] ? found[0] : mine[0];                                         \
        mine[1] = found[1] > mine[1] ? found[1] : mine[1];                                         \
      }                                                                                            \
    }                                                                                              \
  }                                                                                                \
                                                                                                   \
  /* Counts n events; 0 where a code or a fault has no bin, or an event no place. */               \
  int64_t NAME(int64_t n, const struct column *columns, int64_t fields,                            \
               const struct tally *tallies, int64_t all) {                                         \
    if (!all_placed(n, tallies, all)) return 0;                                                    \
    for (const struct column *column = columns; column < columns + fields; column++) {             \
      struct block block;                                                                          \
      int64_t fault = 0;                                                                           \
      if (!has_bins(column)) return 0;                                                             \
      for (int64_t t = 0; t < all; t++) clear(tallies + t, column, sizeof(NUMBER));                \
      for (block.first = 0; block.first < n; block.first += BLOCK) {                                            \
        block.n = n - block.first < BLOCK ? n - block.first : BLOCK;                               \
        if (!take(column, &block, &fault)) return 0;                                               \
        for (int64_t t = 0; t < all; t++) ADD(tallies + t, column, &block);                        \
      }                                                                                            \
      for (int64_t t = 0; t < all; t++) FLUSH(tallies + t, column);                                \
    }                                                                                              \
    return 1;                                                                                      \
  }

static int has_bins(const struct column *column) {
  int64_t wrong = 0;
  for (int64_t code = 0; code < column->many; code++)
    wrong += column->of_codes[code] < 0 || column->of_codes[code] >= column->width;
  for (int64_t bin = 0; column->fewer && bin < column->width; bin++)
    wrong += column->fewer[bin] < 0 || column->fewer[bin] >= column->fewer_width;
  return !wrong;
}

static int all_placed(int64_t n, const struct tally *tallies, int64_t all) {
  for (const struct tally *tally = tallies; tally < tallies + all; tally++) {
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++) {
      wrong += (uint32_t)tally->place[i] >= (uint64_t)tally->places;
      wrong += (uint32_t)tally->served[i] > (uint64_t)tally->places;
    }
    for (const struct member *member = tally->member; member < tally->member + tally->members;
         member++)
      for (int64_t place = 0; place < tally->places; place++)
        wrong += (uint32_t)member->rows[place] >= (uint64_t)member->size;
    if (wrong) return 0;
  }
  return 1;
}

static void clear(const struct tally *tally, const struct column *column, size_t number) {
  size_t places = (size_t)tally->places + 1;
  int64_t width = tally->fewer ? column->fewer_width : column->width;
  memset(tally->counts, 0, places * (size_t)width * number);
  if (!column->numbers) return;
  memset(tally->sums, 0, places * 2 * sizeof *tally->sums);
  if (!tally->extremes) return;
  for (size_t place = 0; place < places; place++) {
    tally->extremes[2 * place] = __builtin_inf();
    tally->extremes[2 * place + 1] = -__builtin_inf();
  }
}

/* Fills a block; 0 where a code or a fault has no bin. */
static int take(const struct column *column, struct block *block, int64_t *fault) {
  if (column->numbers)
    take_numbers(column, block);
  else if (!take_codes(column, block))
    return 0;
  for (; *fault < column->faults; (*fault)++) {
    int64_t at = column->fault_rows[*fault] - block->first;
    if (at >= block->n) break;
    int64_t bin = column->fault_bins[*fault];
    if (at < 0 || bin < 0 || bin >= column->width) return 0;
    block->bins[at] = (int32_t)bin;
  }
  for (int64_t i = 0; i < block->n; i++)
    block->fewer[i] = column->fewer ? column->fewer[block->bins[i]] : block->bins[i];
  if (column->bins)
    for (int64_t i = 0; i < block->n; i++) column->bins[block->first + i] = (int16_t)block->bins[i];
  return 1;
}

COUNT(int16_t, add_16, flush_16, streamgauge_count_16)
COUNT(int32_t, add_32, flush_32, streamgauge_count_32)

/* Sets the bins of n values; that of a NaN is any. */
void streamgauge_look_up(const struct lookup *lookup, int64_t n, const double *values,
                         int64_t *bins) {
  int32_t some[BLOCK];
  for (int64_t first = 0; first < n; first += BLOCK) {
    int64_t count = n - first < BLOCK ? n - first : BLOCK;
    find_bins(lookup, count, values + first, some);
    for (int64_t i = 0; i < count; i++) bins[first + i] = some[i];
  }
}

/* Parts groups of n events by their codes, those below zero as the last of so many. There may be no
   groups before. Sets each event's new group, in the order of groups and codes, and the last event in
   each; returns how many there are, -1 where an event has none. The table (groups * many) is all 0. */
int64_t streamgauge_part(int64_t n, const int32_t *before, int64_t groups, const int32_t *codes,
                         int64_t many, int32_t *table, int32_t *places, int64_t *last) {
  int64_t found = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t group = before ? before[i] : 0, code = codes[i] < 0 ? many - 1 : codes[i];
    if ((uint64_t)group >= (uint64_t)groups || code >= many) return -1;
    places[i] = (int32_t)(group * many + code);
    table[places[i]] = (int32_t)(i + 1);
  }
  for (int64_t cell = 0; cell < groups * many; cell++) {
    if (!table[cell]) continue;
    last[found] = table[cell] - 1;
    table[cell] = (int32_t)found++;
  }
  for (int64_t i = 0; i < n; i++) places[i] = table[places[i]];
  return found;
}

int64_t streamgauge_layout(void) { return LAYOUT; }
