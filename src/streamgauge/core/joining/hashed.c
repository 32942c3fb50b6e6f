/* Keys of ids, and tables of keys; see hashing.py, which is its only caller, for what they are.

   All of it is arithmetic on integers, so it gives the same bits as the steps of numpy that do its
   work where it was not built. Nothing is allocated here. Look-ups are made some at a time, each of
   their reads asked for before the first is needed: a large table is in no cache. */

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are read as they lie in memory"
#endif

enum { LANES = 4, WORDS = 16, TOGETHER = 32, FREE = -1 };

#ifndef LAYOUT
#define LAYOUT 1 /* of what is called; hashing.py has the same number */
#endif
int64_t streamgauge_layout(void) { return LAYOUT; }

/* A word whose bits all depend on all bits of its own, one to one (MurmurHash3). */
static inline uint64_t mixed(uint64_t word) {
  word = (word ^ word >> 33) * UINT64_C(0xFF51AFD7ED558CCD);
  word = (word ^ word >> 33) * UINT64_C(0xC4CEB9FE1A85EC53);
  return word ^ word >> 33;
}

/* The keys (n, 2) of texts of at most 64 bytes: text i is text[begins[i]] up to text[ends[i]], which
   is not of it. factors (WORDS + 2, LANES). */
void streamgauge_hash(const uint8_t *text, const int64_t *begins, const int64_t *ends, int64_t n,
                      const uint64_t *factors, uint64_t *keys) {
  for (int64_t i = 0; i < n; i++) {
    const uint8_t *p = text + begins[i];
    int64_t length = ends[i] - begins[i];
    const uint64_t *factor = factors;
    uint64_t lanes[LANES];
    for (int lane = 0; lane < LANES; lane++)
      lanes[lane] = factors[WORDS * LANES + lane] +
                    (uint64_t)length * factors[(WORDS + 1) * LANES + lane];
    for (int64_t rest = length; rest > 0; rest -= 4, p += 4, factor += LANES) {
      uint32_t word = 0;
      if (rest >= 4)
        memcpy(&word, p, 4);
      else
        for (int64_t byte = 0; byte < rest; byte++) word |= (uint32_t)p[byte] << 8 * byte;
      for (int lane = 0; lane < LANES; lane++) lanes[lane] += word * factor[lane];
    }
    for (int half = 0; half < 2; half++)
      keys[2 * i + half] = mixed((lanes[2 * half] >> 32 << 32) | lanes[2 * half + 1] >> 32);
  }
}

static inline int same(const uint64_t *a, const uint64_t *b) { return a[0] == b[0] && a[1] == b[1]; }

/* The row (n) that each key has in a table of keys, or -1. `slots (mask + 1)` hold rows by the low
   bits of their keys' second words, or the next slot that was free; of free ones there are some. */
void streamgauge_find(const int32_t *slots, int64_t mask, const uint64_t *table,
                      const uint64_t *keys, int64_t n, int64_t *rows) {
  for (int64_t first = 0; first < n; first += TOGETHER) {
    int64_t after = first + TOGETHER < n ? first + TOGETHER : n;
    for (int64_t i = first; i < after; i++)
      __builtin_prefetch(slots + ((int64_t)keys[2 * i + 1] & mask));
    for (int64_t i = first; i < after; i++) {
      int64_t row = slots[(int64_t)keys[2 * i + 1] & mask];
      if (row >= 0) __builtin_prefetch(table + 2 * row);
    }
    for (int64_t i = first; i < after; i++) {
      int64_t at = (int64_t)keys[2 * i + 1] & mask;
      while (slots[at] >= 0 && !same(table + 2 * (int64_t)slots[at], keys + 2 * i))
        at = (at + 1) & mask;
      rows[i] = slots[at];
    }
  }
}

/* Give the rows of a table from one up to another, whose keys are in no slot, one each. */
void streamgauge_enter(int32_t *slots, int64_t mask, const uint64_t *table, int64_t begin,
                       int64_t end) {
  for (int64_t first = begin; first < end; first += TOGETHER) {
    int64_t after = first + TOGETHER < end ? first + TOGETHER : end;
    for (int64_t row = first; row < after; row++)
      __builtin_prefetch(slots + ((int64_t)table[2 * row + 1] & mask), 1);
    for (int64_t row = first; row < after; row++) {
      int64_t at = (int64_t)table[2 * row + 1] & mask;
      while (slots[at] >= 0) at = (at + 1) & mask;
      slots[at] = (int32_t)row;
    }
  }
}

/* How many distinct keys there are among n: where each comes first, and which each key is. The
   slots, more than n, are all free. */
int64_t streamgauge_distinct(const uint64_t *keys, int64_t n, int32_t *slots, int64_t mask,
                             int64_t *first, int64_t *owner) {
  int64_t found = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t at = (int64_t)keys[2 * i + 1] & mask;
    while (slots[at] >= 0 && !same(keys + 2 * first[slots[at]], keys + 2 * i)) at = (at + 1) & mask;
    if (slots[at] == FREE) {
      slots[at] = (int32_t)found;
      first[found++] = i;
    }
    owner[i] = slots[at];
  }
  return found;
}
