/* Sorted rows of the join store: see compiled_rows.py, which is its only caller, and rows.py.

   All of it is arithmetic on integers, so it gives the same bits as the steps of numpy that do its
   work where it was not built. Nothing is allocated here. Reads of what is far apart are asked for
   some rows ahead. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are read as they lie in memory"
#endif

enum { BITS = 6, PLACE = 36, AHEAD = 12, TOGETHER = 32, DIGIT = 11, PASSES = 3, MOST_ALIKE = 64 };

#ifndef LAYOUT
#define LAYOUT 1 /* of what is called; compiled_rows.py has the same number */
#endif
int64_t streamgauge_layout(void) { return LAYOUT; }

/* -- order ------------------------------------------------------------------------------------ */

static inline int is_below(const uint64_t *a, const uint64_t *b) {
  return a[0] < b[0] || (a[0] == b[0] && a[1] < b[1]);
}

/* The places (n) of keys (n, 2) in the order of both words, in `order`, by their upper halves as
   the digits of a number; 0 where more than a few have one upper half, who are ordered one by one.
   `other (n)` is for use on the way. */
int64_t streamgauge_order(const uint64_t *keys, int64_t n, uint64_t *order, uint64_t *other) {
  const uint64_t low = UINT64_C(0xFFFFFFFF);
  for (int64_t i = 0; i < n; i++) order[i] = (keys[2 * i] >> 32 << 32) | (uint64_t)i;
  for (int pass = 0; pass < PASSES; pass++) {
    int64_t begins[1 << DIGIT] = {0};
    int shift = 32 + DIGIT * pass;
    const uint64_t digit = (1 << DIGIT) - 1;
    for (int64_t i = 0; i < n; i++) begins[order[i] >> shift & digit]++;
    int64_t begin = 0;
    for (int i = 0; i < 1 << DIGIT; i++) {
      int64_t count = begins[i];
      begins[i] = begin;
      begin += count;
    }
    for (int64_t i = 0; i < n; i++) other[begins[order[i] >> shift & digit]++] = order[i];
    uint64_t *swapped = order;
    order = other;
    other = swapped;
  }
  /* After an odd number of passes the two have changed places: the result goes to the other. */
  for (int64_t first = 0; first < n;) {
    int64_t after = first + 1;
    while (after < n && order[after] >> 32 == order[first] >> 32) after++;
    if (after - first > MOST_ALIKE) return 0;
    for (int64_t i = first; i < after; i++) {
      uint64_t mine = order[i] & low;
      int64_t at = i;
      for (; at > first && is_below(keys + 2 * mine, keys + 2 * other[at - 1]); at--)
        other[at] = other[at - 1];
      other[at] = mine;
    }
    first = after;
  }
  return 1;
}

/* -- rows ------------------------------------------------------------------------------------- */

/* The check of a row without its own: see rows.py. */
static inline uint64_t check_of(const uint64_t *row, int64_t words, const uint64_t *factors) {
  uint64_t sum = factors[0] + (row[words - 1] & UINT64_C(0xFFFFFFFF)) * factors[words];
  for (int64_t i = 0; i < words - 1; i++) sum += row[i] * factors[i + 1];
  return sum >> 32;
}

/* Rows (n, words) of the keys and records at these places. */
void streamgauge_rows(const uint64_t *keys, const uint8_t *records, int64_t record_bytes,
                      const uint64_t *places, int64_t n, int64_t words, const uint64_t *factors,
                      uint64_t *rows) {
  for (int64_t i = 0; i < n; i++, rows += words) {
    if (i + AHEAD < n) {
      const uint8_t *next = records + (int64_t)places[i + AHEAD] * record_bytes;
      for (int64_t line = 0; line < record_bytes; line += 64) __builtin_prefetch(next + line);
      __builtin_prefetch(keys + 2 * places[i + AHEAD]);
    }
    memset(rows + 2, 0, (size_t)(words - 2) * sizeof *rows);
    memcpy(rows, keys + 2 * places[i], 16);
    memcpy(rows + 2, records + (int64_t)places[i] * record_bytes, (size_t)record_bytes);
    rows[words - 1] |= check_of(rows, words, factors) << 32;
  }
}

/* How many of the rows in front are what was written. */
int64_t streamgauge_sound(const uint64_t *rows, int64_t n, int64_t words, const uint64_t *factors) {
  for (int64_t i = 0; i < n; i++, rows += words)
    if (rows[words - 1] >> 32 != check_of(rows, words, factors)) return i;
  return n;
}

/* Sorted parts, each of counts[k] rows, as one; of rows with one key that of the last part. `at`
   (parts) is for use on the way. How many rows there are. */
int64_t streamgauge_merge(const uint64_t *const *parts, const int64_t *counts, int64_t *at,
                          int64_t parts_count, int64_t words, uint64_t *rows) {
  uint64_t *out = rows;
  memset(at, 0, (size_t)parts_count * sizeof *at);
  for (;;) {
    const uint64_t *least = NULL;
    for (int64_t k = 0; k < parts_count; k++) {
      if (at[k] == counts[k]) continue;
      const uint64_t *row = parts[k] + at[k] * words;
      if (!least || !is_below(least, row)) least = row;
    }
    if (!least) return (out - rows) / words;
    memcpy(out, least, (size_t)words * sizeof *out);
    for (int64_t k = 0; k < parts_count; k++) /* no row is below the least: equal are gone now */
      if (at[k] < counts[k] && !is_below(out, parts[k] + at[k] * words)) at[k]++;
    out += words;
  }
}

/* -- runs ------------------------------------------------------------------------------------- */

/* What a prefix marks in a filter: bits of one of its words, by the lower part of this, whose upper
   part says of which. See filters.py. */
static inline uint64_t spread(uint32_t prefix) {
  uint64_t word = prefix * UINT64_C(0x9E3779B97F4A7C15);
  return (word ^ word >> 32) * UINT64_C(0xFF51AFD7ED558CCD);
}

static inline uint64_t bits_of(uint64_t word) {
  uint64_t bits = 0;
  for (int i = 0; i < BITS; i++, word >>= 6) bits |= UINT64_C(1) << (word & 63);
  return bits;
}

/* Mark prefixes (n) in a filter of `mask` + 1 words. */
void streamgauge_mark(uint64_t *filter, uint64_t mask, const uint32_t *prefixes, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    if (i + AHEAD < n) __builtin_prefetch(filter + (spread(prefixes[i + AHEAD]) >> PLACE & mask), 1);
    uint64_t mine = spread(prefixes[i]);
    filter[mine >> PLACE & mask] |= bits_of(mine);
  }
}

static inline uint32_t prefix_of(const uint64_t *key) { return (uint32_t)(key[0] >> 32); }

/* Which of n keys (n, 2) a filter may have: their places. How many they are. */
int64_t streamgauge_sift(const uint64_t *filter, uint64_t mask, const uint64_t *keys, int64_t n,
                         int64_t *places) {
  int64_t found = 0;
  for (int64_t i = 0; i < n; i++) {
    if (i + AHEAD < n)
      __builtin_prefetch(filter + (spread(prefix_of(keys + 2 * (i + AHEAD))) >> PLACE & mask));
    uint64_t mine = spread(prefix_of(keys + 2 * i));
    places[found] = i;
    found += (bits_of(mine) & ~filter[mine >> PLACE & mask]) == 0;
  }
  return found;
}

/* Where in a run each of k keys may be: pairs of the key's place and of a row with its prefix. The
   run's prefixes are sorted; those whose upper bits, without `shift`, are u stand from starts[u] up
   to starts[u + 1]. How many pairs; -1 if that is more than there is room for. */
int64_t streamgauge_search(const uint32_t *prefixes, const uint32_t *starts, int64_t shift,
                           const uint64_t *keys, int64_t k, int64_t *which, int64_t *at,
                           int64_t room) {
  int64_t found = 0;
  for (int64_t first = 0; first < k; first += TOGETHER) {
    int64_t after = first + TOGETHER < k ? first + TOGETHER : k;
    for (int64_t i = first; i < after; i++)
      __builtin_prefetch(starts + (keys[2 * i] >> 32 >> shift));
    for (int64_t i = first; i < after; i++)
      __builtin_prefetch(prefixes + starts[keys[2 * i] >> 32 >> shift]);
    for (int64_t i = first; i < after; i++) {
      uint32_t prefix = prefix_of(keys + 2 * i);
      uint64_t upper = keys[2 * i] >> 32 >> shift;
      int64_t low = starts[upper], end = starts[upper + 1], n = end - low;
      /* Halved without branches, of which half would be guessed wrong. */
      for (; n > 1; n -= n / 2) low += prefixes[low + n / 2 - 1] < prefix ? n / 2 : 0;
      low += n && prefixes[low] < prefix;
      for (; low < end && prefixes[low] == prefix; low++) {
        if (found == room) return -1;
        which[found] = i;
        at[found++] = low;
      }
    }
  }
  return found;
}

/* Read the rows at these places of a file, one after the other. 0; -1 if the file ends before, or
   the error's number. */
int64_t streamgauge_read_rows(int file, int64_t row_bytes, const int64_t *at, int64_t n,
                              uint8_t *rows) {
  for (int64_t i = 0; i < n; i++) {
    int64_t done = 0;
    while (done < row_bytes) {
      ssize_t got = pread(file, rows + done, (size_t)(row_bytes - done), at[i] * row_bytes + done);
      if (got == 0) return -1;
      if (got > 0)
        done += got;
      else if (errno != EINTR)
        return errno;
    }
    rows += row_bytes;
  }
  return 0;
}
