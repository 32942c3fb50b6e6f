/* Reads plain JSON events straight into columns; see plain_events.py, which is its only caller.

   An event is taken only if there is no doubt what it says: every field known, given once, of the
   type it should have. Whatever else a message holds, it is left, and nothing of it stays in the
   columns: the typed decoder and the rules of checks.py decide about it. So this file may be
   ignorant, but must not be wrong.

   Memory: nothing is allocated here. Each message is followed by a NUL, which no loop runs over (it
   is no digit, no space and may not stand in a string), and the whole text by PAD of them, as words
   of eight bytes are read. Columns have room for every message. */

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are compared by their low bytes"
#endif
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0
#error "a double must be rounded to a double"
#endif

#ifndef LAYOUT
#define LAYOUT 4 /* of the structures below; plain_events.py has the same number */
#endif
enum { OBJECTS = 4, DEEPEST = 60, LONGEST_ID = 1024 };

/* What a field may hold besides null. */
enum kind {
  OBJECT,   /* one of our objects */
  MODEL,    /* the name of the model */
  IDENTITY, /* a string without escapes: the message's key */
  TIME,     /* an integer or an RFC 3339 string, to milliseconds */
  STATUS,   /* "ok" */
  NUMBER,   /* within bounds */
  BOOLEAN,
  TEXT,     /* a string */
  NAME,     /* a string or an integer */
  TAG,      /* a string, a number or a boolean */
  SCALAR,   /* the same, of which nothing is kept */
  UNKNOWN   /* anything, which is counted */
};

enum flag {
  REQUIRED = 1, /* wherever its object is given */
  TOLERANT = 2, /* a NUMBER, TEXT or BOOLEAN may be of another type, which is a fault */
  EXPECTED = 4  /* something is done where it is not given */
};

/* What stands for such a fault among numbers, as bits of a NaN, and among codes. */
#define WRONG_NUMBER UINT64_C(0x7FF8000000000001)
enum { MISSING_CODE = -1, WRONG_CODE = -2 };

typedef const uint8_t *Place;

struct field {
  Place name;     /* as it is found: "name": and no space, padded */
  int64_t length; /* of that */
  double low;
  double high;
  int64_t seen; /* in which message: twice its number, and one more where it was null */
  struct field *next; /* the one that came after it, NULL where that is not known */
  int32_t column;     /* of those of its kind; of an OBJECT its number */
  uint8_t home;       /* the object that it stands in, 0 the whole */
  uint8_t kind;
  uint8_t flags;
};

/* The fields of one model's events. */
struct table {
  int64_t fields;
  int64_t slots_mask;
  struct field *field; /* (fields + OBJECTS): the last are what is before the first of each object */
  int16_t *slots; /* (slots_mask + 1) fields by the hash of their names, -1 where there is none */
  Place model;
  int64_t model_length;
  int64_t time_factor;
  int64_t time_divisor;
  const uint64_t *powers; /* (POWERS, 2) of ten: 128 bits of each, the high ones first */
  int64_t expected; /* how many fields are EXPECTED */
};

/* Messages: message i is text[begins[i]] up to text[ends[i]], which is NUL. One that is not there
   ends before it begins. */
struct messages {
  int64_t count; /* of `rows` */
  const int32_t *rows;
  Place text;
  const int64_t *begins;
  const int64_t *ends;
  Place keys; /* likewise */
  const int64_t *key_begins;
  const int64_t *key_ends;
  int64_t earliest;
  const int64_t *latest; /* possible time in ms */
};

/* What a token is found by. */
struct token {
  uint64_t head; /* its first eight bytes, those after its end 0 */
  int32_t length;
  uint32_t hash;
};

/* The tokens of a column, of this poll and of earlier ones. */
struct dictionary {
  int64_t count;
  int64_t room;
  int64_t slots_mask;
  int32_t *slots;       /* (slots_mask + 1): 1 + index of a token by its hash, or 0 */
  struct token *tokens; /* (room) */
  Place *texts;         /* (room) of tokens: in what is read now, or kept by plain_tokens.py */
  int64_t added;        /* slot that was filled by the event in work, or -1 */
};

/* Columns, each with `room` entries, of which the events that are taken fill the first. */
struct columns {
  int64_t room;
  int32_t *rows; /* of the events that are taken */
  int32_t *left; /* of all others */
  int64_t *times;
  double *numbers; /* (number columns, room) */
  int32_t *codes;  /* (code columns, room): indices of tokens, below zero where there is none */
  struct dictionary *dictionaries; /* (code columns) */
  int64_t looked_at; /* how many messages */
  int64_t taken;     /* how many of them */
  int64_t unknown;   /* fields of the events that are taken */
  int64_t faults;    /* of the events that are taken */
};

struct work {
  const struct table *table;
  const struct messages *in;
  struct columns *out;
  int64_t stamp;
  int64_t at; /* of the event in the columns */
  int64_t row;
  int64_t given; /* fields that are EXPECTED */
  int64_t unknown;
  int64_t faults;
  int64_t entered[OBJECTS];
};

/* -- words and strings ------------------------------------------------------------------------ */

static inline uint64_t word(Place p) {
  uint64_t value;
  memcpy(&value, p, 8);
  return value;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte)) /* a word of the same bytes */

static inline uint64_t low_bytes(int64_t count) { /* of 1 to 8 */
  return ~UINT64_C(0) >> (64 - 8 * count);
}

static inline int same(Place a, Place b, int64_t length) {
  for (; length > 8; a += 8, b += 8, length -= 8)
    if (word(a) != word(b)) return 0;
  return length == 0 || ((word(a) ^ word(b)) & low_bytes(length)) == 0;
}

static inline uint64_t hash_of(Place p, int64_t length) {
  const uint64_t odd = UINT64_C(0x9E3779B97F4A7C15);
  uint64_t hash = (uint64_t)length * odd;
  for (; length > 8; p += 8, length -= 8) {
    hash = (hash ^ word(p)) * odd;
    hash ^= hash >> 29;
  }
  if (length) hash = (hash ^ (word(p) & low_bytes(length))) * odd;
  return hash ^ (hash >> 32);
}

static inline Place space(Place p) {
  while (*p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
  return p;
}

static inline int is_in(uint8_t byte, uint8_t low, uint8_t high) { return byte >= low && byte <= high; }

/* Whether all of a text is UTF-8, as table 3-7 of the Unicode standard has it. */
static int is_utf8(Place p, Place end) {
  uint64_t any = 0;
  Place start = p;
  for (; end - p >= 32; p += 32) any |= word(p) | word(p + 8) | word(p + 16) | word(p + 24);
  for (; end - p > 8; p += 8) any |= word(p);
  if (p < end) any |= word(p) & low_bytes(end - p);
  if (!(any & UINT64_C(0x8080808080808080))) return 1;
  for (p = start; p < end;) {
    uint8_t first = *p++;
    if (first < 0x80) continue;
    uint8_t low = 0x80, high = 0xBF;
    int more;
    if (is_in(first, 0xC2, 0xDF)) {
      more = 1;
    } else if (is_in(first, 0xE0, 0xEF)) {
      more = 2;
      if (first == 0xE0) low = 0xA0;
      if (first == 0xED) high = 0x9F;
    } else if (is_in(first, 0xF0, 0xF4)) {
      more = 3;
      if (first == 0xF0) low = 0x90;
      if (first == 0xF4) high = 0x8F;
    } else {
      return 0;
    }
    for (; more; more--, low = 0x80, high = 0xBF)
      if (!is_in(*p++, low, high)) return 0; /* the NUL at the end is none either */
  }
  return 1;
}

/* The first place from p on with a quote, a backslash or a control character, such as the NUL at the
   end. Of eight bytes at a time each that is one has its highest bit set, and maybe some after it
   (Bit Twiddling Hacks, "Determine if a word has a byte less than n"). */
static inline Place special(Place p) {
  for (;; p += 8) {
    uint64_t bytes = word(p), quote = bytes ^ EACH('"'), escape = bytes ^ EACH('\\');
    uint64_t found = ((bytes - EACH(' ')) & ~bytes) | ((quote - EACH(1)) & ~quote) |
                     ((escape - EACH(1)) & ~escape);
    found &= EACH(UINT64_C(0x80));
    if (found) return p + __builtin_ctzll(found) / 8;
  }
}

static int hexadecimal(uint8_t byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  byte |= 0x20;
  return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The closing quote of a string, given the place behind the opening one; NULL where there is none,
   or an escape that is none, NUL or half of a surrogate pair. */
static Place string_end(Place p) {
  for (;;) {
    p = special(p);
    if (*p == '"') return p;
    if (*p != '\\') return NULL;
    p++;
    if (*p == 'u') {
      int value = 0;
      for (int i = 1; i <= 4; i++) {
        int digit = hexadecimal(p[i]);
        if (digit < 0) return NULL;
        value = value * 16 + digit;
      }
      if (value == 0 || (value >= 0xD800 && value <= 0xDFFF)) return NULL;
      p += 5;
    } else if (*p && strchr("\"\\/bfnrt", *p)) {
      p++;
    } else {
      return NULL;
    }
  }
}

static inline Place literal(Place p, const char *name, int64_t length) {
  return same(p, (Place)name, length) ? p + length : NULL;
}

/* Padded, as they are compared by words. */
static const char NULL_NAME[8] = "null", TRUE_NAME[8] = "true", FALSE_NAME[8] = "false";

/* -- numbers ---------------------------------------------------------------------------------- */

struct number {
  double value;
  int is_whole; /* an integer, of at most 18 digits */
};

enum { LEAST_POWER = -342, GREATEST_POWER = 308, MANTISSA_BITS = 52 };

static const double EXACT_POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* The double next to digits * 10**power, digits > 0, by the algorithm of Eisel and Lemire (Lemire:
   Number parsing at a gigabyte per second, Software: Practice and Experience 51, 2021, algorithm 1);
   0 where it is not sure of it, or the number is not a normal one. */
static int nearest(const uint64_t *powers, uint64_t digits, int64_t power, double *value) {
  if (power < LEAST_POWER || power > GREATEST_POWER) return 0;
  const uint64_t *of_ten = powers + 2 * (power - LEAST_POWER);
  int zeros = __builtin_clzll(digits);
  digits <<= zeros;
  unsigned __int128 product = (unsigned __int128)digits * of_ten[0];
  uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
  const uint64_t undecided = ~UINT64_C(0) >> (MANTISSA_BITS + 3);
  if ((high & undecided) == undecided) {
    uint64_t more = (uint64_t)(((unsigned __int128)digits * of_ten[1]) >> 64);
    low += more;
    if (low < more) high++;
  }
  if (low == ~UINT64_C(0) && (power < -27 || power > 55)) return 0;
  int top = (int)(high >> 63);
  int shift = top + 64 - MANTISSA_BITS - 3;
  uint64_t mantissa = high >> shift;
  /* 217706 / 2**16 is the binary logarithm of ten. */
  int64_t exponent = ((217706 * power) >> 16) + 63 + top - zeros + 1023;
  if (exponent <= 0) return 0;
  /* Half way between two doubles: to the even one. */
  if (low <= 1 && power >= -4 && power <= 23 && (mantissa & 3) == 1 && mantissa << shift == high)
    mantissa &= ~UINT64_C(1);
  mantissa = (mantissa + (mantissa & 1)) >> 1;
  if (mantissa >= UINT64_C(2) << MANTISSA_BITS) {
    mantissa = UINT64_C(1) << MANTISSA_BITS;
    exponent++;
  }
  if (exponent >= 2047) return 0;
  uint64_t bits = (mantissa & ~(UINT64_C(1) << MANTISSA_BITS)) | (uint64_t)exponent << MANTISSA_BITS;
  memcpy(value, &bits, 8);
  return 1;
}

static inline int is_digit(uint8_t byte) { return (uint8_t)(byte - '0') < 10; }

/* The highest bit of each byte that is no digit; the bytes are exclusive or '0'. */
static inline uint64_t no_digits(uint64_t digits) {
  return (((digits & EACH(0x7F)) + EACH(0x7F - 9)) | digits) & EACH(UINT64_C(0x80));
}

/* The number that eight digits are, the first of which is the lowest byte: by twos, by fours, all. */
static inline uint64_t eight_digits(uint64_t digits) {
  digits = (digits * 10 + (digits >> 8)) & UINT64_C(0x00FF00FF00FF00FF);
  digits = (digits * 100 + (digits >> 16)) & UINT64_C(0x0000FFFF0000FFFF);
  return (digits * 10000 + (digits >> 32)) & UINT64_C(0xFFFFFFFF);
}

/* The place behind a number of at most seven bytes besides its sign, as most are; NULL where there is
   none, or it has an exponent, or is an integer -0. There is no branch for how many digits it has, which no processor
   could foretell. */
static inline Place read_short(Place p, double *value) {
  uint64_t negative = *p == '-';
  p += negative;
  uint64_t digits = word(p) ^ EACH('0'), others = no_digits(digits);
  if (!others) return NULL;
  int whole = __builtin_ctzll(others) / 8, count = whole;
  Place end = p + whole;
  if (*end == '.') {
    others &= others - 1;
    if (!others) return NULL;
    uint64_t before = (UINT64_C(1) << (8 * whole)) - 1;
    digits = (digits & before) | (digits >> 8 & ~before);
    count = __builtin_ctzll(others) / 8 - 1;
    end = p + count + 1;
    if (count == whole) return NULL;
  } else if (negative && *p == '0') {
    return NULL; /* of integers -0 is 0 */
  }
  if (whole == 0 || (whole > 1 && *p == '0') || (*end | 0x20) == 'e') return NULL;
  /* Both are exact, so the one operation is rounded as it should be (Clinger 1990). */
  double found = (double)eight_digits(digits << (64 - 8 * count)) / EXACT_POWERS[count - whole];
  uint64_t bits;
  memcpy(&bits, &found, 8);
  bits |= negative << 63;
  memcpy(value, &bits, 8);
  return end;
}

/* The place behind a number; NULL where there is none or it is not surely finite and normal. */
static Place read_number(Place p, const uint64_t *powers, struct number *number) {
  int negative = *p == '-';
  p += negative;
  Place first = p;
  uint64_t digits = 0;
  if (!is_digit(*p)) return NULL;
  if (*p == '0' && is_digit(p[1])) return NULL;
  while (is_digit(*p)) digits = digits * 10 + (uint64_t)(*p++ - '0');
  int64_t count = p - first;
  int64_t power = 0;
  number->is_whole = 1;
  if (*p == '.') {
    Place fraction = ++p;
    while (is_digit(*p)) digits = digits * 10 + (uint64_t)(*p++ - '0');
    if (p == fraction) return NULL;
    power = fraction - p;
    count -= power;
    number->is_whole = 0;
  }
  if (count > 19) { /* digits may have run over; zeros in front do not count */
    for (Place zero = first; *zero == '0' || *zero == '.'; zero++) count -= *zero == '0';
    if (count > 19) return NULL;
  }
  if (*p == 'e' || *p == 'E') {
    p++;
    int down = *p == '-';
    p += *p == '-' || *p == '+';
    if (!is_digit(*p)) return NULL;
    int64_t exponent = 0;
    while (is_digit(*p)) {
      if (exponent < 10000) exponent = exponent * 10 + (*p - '0');
      p++;
    }
    power += down ? -exponent : exponent;
    number->is_whole = 0;
  }
  if (number->is_whole && (count > 18 || (negative && digits == 0))) return NULL;
  double value;
  if (digits == 0) {
    value = 0.0;
  } else if (digits >> 53 == 0 && power >= -22 && power <= 22) {
    /* Both are exact, so the one operation is rounded as it should be (Clinger 1990). */
    value = (double)digits;
    value = power < 0 ? value / EXACT_POWERS[-power] : value * EXACT_POWERS[power];
  } else if (!nearest(powers, digits, power, &value)) {
    return NULL;
  }
  number->value = negative ? -value : value;
  return p;
}

/* -- time ------------------------------------------------------------------------------------- */

static int digits_of(Place p, int count) { /* -1 where not all are digits */
  int value = 0;
  for (; count; count--, p++) {
    if (!is_digit(*p)) return -1;
    value = value * 10 + (*p - '0');
  }
  return value;
}

static int64_t days_in(int64_t year, int month) {
  static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  int leaps = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return days[month - 1] + (month == 2 && leaps);
}

/* Days from 1970-01-01 to a day of the Gregorian calendar from year 1 on. */
static int64_t days_since_1970(int64_t year, int month, int day) {
  int64_t before = year - 1; /* whole years since year 1, in which 719162 days lie before 1970 */
  int64_t days = before * 365 + before / 4 - before / 100 + before / 400 - 719162;
  for (int m = 1; m < month; m++) days += days_in(year, m);
  return days + day - 1;
}

/* The place behind an RFC 3339 date-time and its closing quote; leap seconds are left. */
static Place read_date_time(Place p, int64_t *milliseconds) {
  int year = digits_of(p, 4);
  if (year < 1 || p[4] != '-') return NULL;
  int month = digits_of(p + 5, 2);
  if (month < 1 || month > 12 || p[7] != '-') return NULL;
  int day = digits_of(p + 8, 2);
  if (day < 1 || day > days_in(year, month) || p[10] != 'T') return NULL;
  int hour = digits_of(p + 11, 2);
  if (hour < 0 || hour > 23 || p[13] != ':') return NULL;
  int minute = digits_of(p + 14, 2);
  if (minute < 0 || minute > 59 || p[16] != ':') return NULL;
  int second = digits_of(p + 17, 2);
  if (second < 0 || second > 59) return NULL;
  int thousandths = 0;
  p += 19;
  if (*p == '.') {
    Place fraction = ++p;
    for (int weight = 100; is_digit(*p); p++, weight /= 10) thousandths += weight * (*p - '0');
    if (p == fraction) return NULL;
  }
  int64_t offset = 0;
  if (*p == 'Z') {
    p++;
  } else if (*p == '+' || *p == '-') {
    int ahead = *p == '+';
    int hours = digits_of(p + 1, 2);
    if (hours < 0 || hours > 23 || p[3] != ':') return NULL;
    int minutes = digits_of(p + 4, 2);
    if (minutes < 0 || minutes > 59) return NULL;
    offset = hours * 60 + minutes;
    if (ahead) offset = -offset;
    p += 6;
  } else {
    return NULL;
  }
  if (*p != '"') return NULL;
  int64_t minutes = days_since_1970(year, month, day) * 1440 + hour * 60 + minute + offset;
  *milliseconds = minutes * 60000 + second * 1000 + thousandths;
  return p + 1;
}

static Place read_time(const struct work *work, Place p, int64_t *milliseconds) {
  if (*p == '"') return read_date_time(p + 1, milliseconds);
  /* Nanoseconds have 19 digits, which the most that 64 bits hold has too. */
  uint64_t value = 0;
  Place first = p;
  while (is_digit(*p) && p - first < 19) value = value * 10 + (uint64_t)(*p++ - '0');
  if (p == first || is_digit(*p) || (*first == '0' && p - first > 1)) return NULL;
  if (*p == '.' || *p == 'e' || *p == 'E') return NULL;
  const struct table *table = work->table;
  if (value > (uint64_t)(INT64_MAX / table->time_factor)) return NULL;
  *milliseconds = (int64_t)value * table->time_factor / table->time_divisor;
  return p;
}

/* -- values ----------------------------------------------------------------------------------- */

/* Any value, which is only looked at whether it is one. */
static Place skip(const uint64_t *powers, Place p) {
  uint64_t objects = 0; /* a bit for each level: whether it is an object */
  int depth = 0;
  struct number ignored;
  for (;;) {
    int begun = 0;
    switch (*p) {
    case '{':
    case '[': {
      int object = *p == '{';
      if (depth == DEEPEST) return NULL;
      p = space(p + 1);
      if (*p == (object ? '}' : ']')) {
        p++;
      } else {
        depth++;
        objects = objects << 1 | (uint64_t)object;
        begun = 1;
      }
      break;
    }
    case '"':
      p = string_end(p + 1);
      if (p) p++;
      break;
    case 'n': p = literal(p, NULL_NAME, 4); break;
    case 't': p = literal(p, TRUE_NAME, 4); break;
    case 'f': p = literal(p, FALSE_NAME, 5); break;
    default: p = read_number(p, powers, &ignored);
    }
    if (!p) return NULL;
    if (!begun) {
      for (;; p++, depth--, objects >>= 1) {
        if (depth == 0) return p;
        p = space(p);
        if (*p == ',') break;
        if (*p != (objects & 1 ? '}' : ']')) return NULL;
      }
      p = space(p + 1);
    }
    if (objects & 1) {
      if (*p != '"') return NULL;
      p = string_end(p + 1);
      if (!p) return NULL;
      p = space(p + 1);
      if (*p != ':') return NULL;
      p = space(p + 1);
    }
  }
}

/* The code of a token in a column. */
static void keep_token(struct work *work, int32_t column, Place begin, Place end) {
  struct columns *out = work->out;
  struct dictionary *known = out->dictionaries + column;
  int64_t length = end - begin;
  uint64_t head = word(begin) & low_bytes(length < 8 ? length : 8), hash = hash_of(begin, length);
  int64_t slot = (int64_t)(hash & (uint64_t)known->slots_mask);
  int32_t code;
  for (;; slot = (slot + 1) & known->slots_mask) {
    code = known->slots[slot] - 1;
    if (code < 0) break;
    const struct token *token = known->tokens + code;
    if (token->head == head && token->length == length &&
        (length <= 8 || same(known->texts[code] + 8, begin + 8, length - 8)))
      break;
  }
  if (code < 0) {
    code = (int32_t)known->count++;
    known->slots[slot] = code + 1;
    known->tokens[code] = (struct token){head, (int32_t)length, (uint32_t)hash};
    known->texts[code] = begin;
    known->added = slot;
  }
  out->codes[column * out->room + work->at] = code;
}

/* Whether there is room for an event's tokens, which are at most one in each column. */
static int have_room(struct columns *out, int64_t code_columns) {
  for (int64_t column = 0; column < code_columns; column++) {
    struct dictionary *known = out->dictionaries + column;
    if (known->count == known->room) return 0;
    known->added = -1;
  }
  return 1;
}

/* Take back the tokens of an event that is left. */
static void drop_tokens(struct columns *out, int64_t code_columns) {
  for (int64_t column = 0; column < code_columns; column++) {
    struct dictionary *known = out->dictionaries + column;
    if (known->added < 0) continue;
    known->slots[known->added] = 0;
    known->count--;
  }
}

static inline int is_of_type(enum kind kind, uint8_t first) {
  switch (kind) {
  case NUMBER: return first == '-' || is_digit(first);
  case TEXT: return first == '"';
  default: return first == 't' || first == 'f';
  }
}

/* Note a value of a wrong type in its column. */
static void keep_fault(struct work *work, enum kind kind, int32_t column) {
  int64_t at = column * work->out->room + work->at;
  const uint64_t wrong = WRONG_NUMBER;
  work->faults++;
  if (kind == NUMBER)
    memcpy(work->out->numbers + at, &wrong, 8);
  else
    work->out->codes[at] = WRONG_CODE;
}

static Place read_object(struct work *work, Place p, int object);

/* The place behind a field's value, which is in its column then; NULL to leave the message. */
static inline Place read_value(struct work *work, Place p, struct field *field) {
  const struct table *table = work->table;
  struct columns *out = work->out;
  int32_t column = field->column;
  Place begin = p;
  struct number number;
  enum kind kind = (enum kind)field->kind;
  if (kind == NUMBER) {
    Place end = read_short(p, &number.value);
    if (end && number.value >= field->low && number.value <= field->high) {
      work->given++;
      out->numbers[column * out->room + work->at] = number.value;
      return end;
    }
  }
  if (*p == 'n' && kind != UNKNOWN) {
    field->seen |= 1;
    return literal(p, NULL_NAME, 4);
  }
  if (field->flags & EXPECTED) work->given++;
  if (field->flags & TOLERANT && !is_of_type(kind, *p)) {
    keep_fault(work, kind, column);
    return skip(table->powers, p);
  }
  switch (kind) {
  case OBJECT:
    if (*p != '{') return NULL;
    work->entered[column] = work->stamp;
    return read_object(work, p + 1, column);
  case MODEL:
    if (*p != '"' || !same(p + 1, table->model, table->model_length)) return NULL;
    p += 1 + table->model_length;
    return *p == '"' ? p + 1 : NULL;
  case IDENTITY: {
    Place key = work->in->keys + work->in->key_begins[work->row];
    int64_t length = work->in->key_ends[work->row] - work->in->key_begins[work->row];
    if (*p++ != '"') return NULL;
    begin = p;
    p = special(p);
    if (*p != '"' || p == begin || p - begin > LONGEST_ID) return NULL;
    return p - begin == length && same(begin, key, length) ? p + 1 : NULL;
  }
  case TIME: {
    int64_t time;
    p = read_time(work, p, &time);
    if (!p || time < work->in->earliest || time > work->in->latest[work->row]) return NULL;
    out->times[work->at] = time;
    return p;
  }
  case STATUS: {
    static const char OK[8] = "\"ok\"";
    return literal(p, OK, 4);
  }
  case NUMBER:
    p = read_number(p, table->powers, &number);
    if (!p || number.value < field->low || number.value > field->high) return NULL;
    out->numbers[column * out->room + work->at] = number.value;
    return p;
  case BOOLEAN: {
    int truth = *p == 't';
    out->codes[column * out->room + work->at] = truth;
    return truth ? literal(p, TRUE_NAME, 4) : literal(p, FALSE_NAME, 5);
  }
  case UNKNOWN:
    work->unknown++;
    return skip(table->powers, p);
  case TEXT:
  case NAME:
  case TAG:
  case SCALAR:
    break;
  }
  if (*p == '"') {
    p = string_end(p + 1);
    if (!p) return NULL;
    p++;
  } else if (kind == TEXT) {
    return NULL;
  } else if (*p == 't' || *p == 'f') {
    if (kind == NAME) return NULL;
    p = *p == 't' ? literal(p, TRUE_NAME, 4) : literal(p, FALSE_NAME, 5);
    if (!p) return NULL;
  } else {
    p = read_number(p, table->powers, &number);
    if (!p || (kind == NAME && !number.is_whole)) return NULL;
  }
  if (kind != SCALAR) keep_token(work, column, begin, p);
  return p;
}

/* Where to look first for a field by its name, which begins at p. */
static inline int64_t name_slot(const struct table *table, Place p, int64_t length, int object) {
  return (int64_t)((hash_of(p, length) + (uint64_t)object) & (uint64_t)table->slots_mask);
}

/* The field of an object with the name that begins at p; NULL where there is none. */
static struct field *find_field(const struct table *table, Place p, int object) {
  if (*p != '"') return NULL;
  Place end = special(p + 1);
  if (*end != '"') return NULL;
  int64_t length = end + 1 - p; /* with its quotes, without the colon */
  int64_t slot = name_slot(table, p, length, object);
  for (;; slot = (slot + 1) & table->slots_mask) {
    if (table->slots[slot] < 0) return NULL;
    struct field *field = table->field + table->slots[slot];
    if (field->home == object && field->length == length + 1 && same(p, field->name, length))
      return field;
  }
}

static Place read_object(struct work *work, Place p, int object) {
  const struct table *table = work->table;
  struct field *previous = table->field + table->fields + object;
  p = space(p);
  if (*p == '}') return p + 1;
  for (;;) {
    /* Most messages have the same fields in the same order, and no spaces. */
    struct field *field = previous->next;
    if (field && same(p, field->name, field->length)) {
      p += field->length;
    } else {
      field = find_field(table, p, object);
      if (!field) return NULL;
      previous->next = field;
      p = space(p + field->length - 1);
      if (*p++ != ':') return NULL;
    }
    if (field->seen >> 1 == work->stamp) return NULL;
    field->seen = work->stamp << 1;
    previous = field;
    p = read_value(work, space(p), field);
    if (!p) return NULL;
    p = space(p);
    if (*p == '}') return p + 1;
    if (*p != ',') return NULL;
    p = space(p + 1);
  }
}

/* Give every field that an event does not have what stands for that; 0 where one must not lack. */
static int fill(struct work *work) {
  const struct table *table = work->table;
  struct columns *out = work->out;
  if (work->given == table->expected) return 1;
  for (const struct field *field = table->field; field < table->field + table->fields; field++) {
    if (field->seen == work->stamp << 1) continue;
    if (field->flags & REQUIRED && work->entered[field->home] == work->stamp) return 0;
    int64_t at = field->column * out->room + work->at;
    switch ((enum kind)field->kind) {
    case NUMBER: out->numbers[at] = __builtin_nan(""); break;
    case BOOLEAN:
    case TEXT:
    case NAME:
    case TAG: out->codes[at] = MISSING_CODE; break;
    default: break;
    }
  }
  return 1;
}

static int read_event(struct work *work) {
  const struct messages *in = work->in;
  Place begin = in->text + in->begins[work->row], end = in->text + in->ends[work->row];
  if (end < begin || !is_utf8(begin, end)) return 0;
  Place p = space(begin);
  if (*p != '{') return 0;
  p = read_object(work, p + 1, 0);
  return p && space(p) == end && fill(work);
}

/* -- what is called --------------------------------------------------------------------------- */

int64_t streamgauge_layout(void) { return LAYOUT; }

static int is_expected(const struct field *field) {
  switch ((enum kind)field->kind) {
  case NUMBER:
  case BOOLEAN:
  case TEXT:
  case NAME:
  case TAG: return 1;
  default: return field->flags & REQUIRED;
  }
}

/* Put the fields of a table into its slots, which are all -1, and find which are expected. */
void streamgauge_prepare(struct table *table) {
  table->expected = 0;
  for (int64_t i = 0; i < table->fields; i++) {
    struct field *field = table->field + i;
    int64_t slot = name_slot(table, field->name, field->length - 1, field->home);
    while (table->slots[slot] >= 0) slot = (slot + 1) & table->slots_mask;
    table->slots[slot] = (int16_t)i;
    if (!is_expected(field)) continue;
    field->flags |= EXPECTED;
    table->expected++;
  }
}

/* Put the tokens of a dictionary into its slots, which are all 0. */
void streamgauge_index(struct dictionary *known) {
  for (int64_t code = 0; code < known->count; code++) {
    int64_t slot = known->tokens[code].hash & known->slots_mask;
    while (known->slots[slot]) slot = (slot + 1) & known->slots_mask;
    known->slots[slot] = (int32_t)code + 1;
  }
}

/* Copy the texts of the tokens from one on, as a JSON array, and find them there from now on. */
void streamgauge_keep(struct dictionary *known, int64_t first, uint8_t *array) {
  *array = '[';
  for (int64_t code = first; code < known->count; code++) {
    int64_t length = known->tokens[code].length;
    if (code > first) *array = ',';
    memcpy(++array, known->texts[code], (size_t)length);
    known->texts[code] = array;
    array += length;
  }
  *array = ']';
}

/* Read the messages, from the first that was not looked at yet up to the end, or up to where a
   dictionary is full. */
void streamgauge_read(const struct table *table, const struct messages *in, struct columns *out,
                      int64_t code_columns) {
  struct work work = {.table = table, .in = in, .out = out, .at = out->taken};
  for (int64_t field = 0; field < table->fields; field++) table->field[field].seen = 0;
  for (; out->looked_at < in->count && have_room(out, code_columns); out->looked_at++) {
    work.row = in->rows[out->looked_at];
    work.stamp = out->looked_at + 1;
    work.entered[0] = work.stamp;
    work.given = work.unknown = work.faults = 0;
    if (read_event(&work)) {
      out->rows[work.at++] = (int32_t)work.row;
      out->unknown += work.unknown;
      out->faults += work.faults;
    } else {
      drop_tokens(out, code_columns);
      out->left[out->looked_at - work.at] = (int32_t)work.row;
    }
  }
  out->taken = work.at;
}
