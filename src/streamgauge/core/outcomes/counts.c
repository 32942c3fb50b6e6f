/* Counts events by group and bin; see compiled_counts.py, which is its only caller.

   Only integers are added, so it gives what numpy does where it was not built. One column's cells
   are counted after the other's: those of all groups are in the processor's cache together. */

#include <stdint.h>


#ifndef LAYOUT
#define LAYOUT 1 /* of what is called; compiled_counts.py has the same number */
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
