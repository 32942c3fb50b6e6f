/* Counts events by group and bin, and by row and cell; see compiled_counts.py, its only caller.

   It adds in the order of numpy's way, so it gives the same where it was not built. One column's
   cells are counted after the other's: those of all groups are in the processor's cache together. */

#include <stdint.h>


#ifndef LAYOUT
#define LAYOUT 2 /* of what is called; compiled_counts.py has the same number */
#endif
int64_t streamgauge_layout(void) { return LAYOUT; }

/* Add the n events to `counts`, of which a group has `width` cells: each by the bins of the columns
   (columns, n), whose cells begin at firsts[column]. at (n) are the events' groups. Only those at
   the `chosen` of them are counted, all where that is NULL. */
void streamgauge_count(const int64_t *at, int64_t n, const uint16_t *bins, int64_t columns,
                       const int64_t *firsts, const int64_t *chosen, int64_t chosen_count,
                       int64_t *counts, int64_t width) {
  for (int64_t column = 0; column < columns; column++, bins += n) {
    int64_t *cells = counts + firsts[column];
    if (chosen)
      for (int64_t i = 0; i < chosen_count; i++) cells[at[chosen[i]] * width + bins[chosen[i]]]++;
    else
      for (int64_t i = 0; i < n; i++) cells[at[i] * width + bins[i]]++;
  }
}

/* Number n rows, ascending; returns how many different ones there are, -1 where one is not below
   `size`. table (size), all 0, is given each row's number, and `known` each number's row. */
int64_t streamgauge_number(const int32_t *rows, int64_t n, int32_t *table, int64_t size,
                           int64_t *known) {
  int64_t found = 0;
  for (int64_t i = 0; i < n; i++) {
    if (rows[i] < 0 || rows[i] >= size) return -1;
    table[rows[i]] = 1;
  }
  for (int64_t row = 0; row < size; row++) {
    if (!table[row]) continue;
    known[found] = row;
    table[row] = (int32_t)found++;
  }
  return found;
}

/* Add n events, each of them to its `specs` rows: to its cell of `width`, as its sign, and of each
   of the values (many, n) sign times value. cells (n) are below the width; `sign` may be NULL, for
   1. counts (known, width) and sums (known, many) are of the rows that `table` numbers. */
void streamgauge_add(const int32_t *rows, int64_t n, int64_t specs, const int32_t *table,
                     const int64_t *cells, const int8_t *sign, int64_t width, int64_t *counts,
                     const double *values, int64_t many, double *sums) {
  for (int64_t i = 0; i < n; i++, rows += specs) {
    int64_t weight = sign ? sign[i] : 1;
    for (int64_t spec = 0; spec < specs; spec++) {
      int64_t row = table[rows[spec]];
      counts[row * width + cells[i]] += weight;
      for (int64_t value = 0; value < many; value++)
        sums[row * many + value] += (double)weight * values[value * n + i];
    }
  }
}
