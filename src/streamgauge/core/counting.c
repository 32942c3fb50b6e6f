/* Looks values up, and counts events and adds up their values by place; see counting.py, which is
   its only caller. One pass over the events each, where numpy takes several. */

#include <stdint.h>

#ifndef LAYOUT
#define LAYOUT 2 /* of what is handed over; counting.py has the same number */
#endif

/* Where the edges of a field's bins are; see lookup.py. */
struct lookup {
  double low;
  double factor;
  int64_t cells;
  const int16_t *base; /* (cells) */
  const double *edges; /* (count + 1), ascending; the last is NaN */
  int64_t count;       /* of edges */
};

/* How many of the edges are at or below a value. */
static int64_t searched(const struct lookup *lookup, double value) {
  int64_t low = 0, high = lookup->count;
  while (low < high) {
    int64_t middle = (low + high) / 2;
    if (lookup->edges[middle] <= value)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Sets the bins of n values; that of a NaN is any. */
void streamgauge_look_up(const struct lookup *lookup, int64_t n, const double *values,
                         int64_t *bins) {
  const double last = (double)(lookup->cells - 1);
  for (int64_t i = 0; i < n; i++) {
    double value = values[i], scaled = (value - lookup->low) * lookup->factor;
    int64_t cell = (int64_t)(scaled < last ? (scaled > 0.0 ? scaled : 0.0) : last);
    int64_t base = lookup->base[cell];
    bins[i] = base < 0 ? searched(lookup, value) : base + (value >= lookup->edges[base]);
  }
}

/* Adds each of n events to the cell `bin` of its place, whose cells begin `width` after those of
   the place before, and two values of it, if there are any, to the two sums of its place, which
   begin `step` after those of the place before. Stops at an event whose place or bin is none of so
   many; returns how many events were counted. */
#define COUNT(NAME, NUMBER)                                                                        \
  int64_t NAME(int64_t n, const int64_t *place, int64_t places, const int64_t *bin, int64_t bins,  \
               int64_t width, NUMBER *counts, const double *first, const double *second,           \
               int64_t step, double *sums) {                                                       \
    for (int64_t i = 0; i < n; i++) {                                                              \
      if ((uint64_t)place[i] >= (uint64_t)places || (uint64_t)bin[i] >= (uint64_t)bins)            \
        return i;                                                                                  \
      counts[place[i] * width + bin[i]]++;                                                         \
      if (first) {                                                                                 \
        double *mine = sums + place[i] * step;                                                     \
        mine[0] += first[i];                                                                       \
        mine[1] += second[i];                                                                      \
      }                                                                                            \
    }                                                                                              \
    return n;                                                                                      \
  }

COUNT(streamgauge_count_16, int16_t)
COUNT(streamgauge_count_32, int32_t)

int64_t streamgauge_layout(void) { return LAYOUT; }
