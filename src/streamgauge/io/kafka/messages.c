/* Takes messages of librdkafka apart, into columns; see native_client.py, which is its only caller.

   Nothing is allocated here. Texts have room for what `streamgauge_measure` said. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef LAYOUT
#define LAYOUT 1 /* of what is handed over; native_client.py has the same number */
#endif

/* rd_kafka_message_t, whose layout is part of librdkafka's interface. */
struct message {
  int32_t err;
  const void *topic;
  int32_t partition;
  const uint8_t *payload;
  size_t length;
  const uint8_t *key;
  size_t key_length;
  int64_t offset;
  void *own;
};

typedef int64_t (*timestamp_of)(const struct message *, int32_t *type);
typedef void (*destroyer)(struct message *);

struct gathered {
  int64_t padding;
  uint8_t *text; /* values, a NUL after each, and `padding` of them at the end */
  int64_t *begins;
  int64_t *ends; /* of each value in it; one before its begin where there is none */
  uint8_t *keys; /* likewise */
  int64_t *key_begins;
  int64_t *key_ends;
  int64_t *offset;
  int64_t *timestamp; /* in ms, -1 where there is none */
  int32_t *source;    /* which of the messages it is */
  const void **run_topic;
  int32_t *run_partition;
  int64_t *run_length; /* messages of one partition in a row */
  int64_t runs;
  int32_t *troubled; /* which of the messages tell of trouble instead */
  int64_t troubles;
};

int64_t streamgauge_layout(void) { return LAYOUT; }

/* The bytes that values and keys take, with a NUL after each. */
void streamgauge_measure(struct message *const *messages, int64_t count, int64_t *values,
                         int64_t *keys) {
  *values = *keys = count;
  for (int64_t i = 0; i < count; i++) {
    if (messages[i]->err) continue;
    *values += (int64_t)messages[i]->length;
    *keys += (int64_t)messages[i]->key_length;
  }
}

static int64_t put(uint8_t *text, int64_t at, const uint8_t *from, size_t length, int64_t *begin,
                   int64_t *end) {
  *begin = at;
  *end = from ? at + (int64_t)length : at - 1;
  if (from) memcpy(text + at, from, length);
  text[at + (int64_t)length] = 0;
  return at + (int64_t)length + 1;
}

/* Messages as columns; how many there are. */
int64_t streamgauge_gather(struct message *const *messages, int64_t count, timestamp_of timestamp,
                           struct gathered *out) {
  enum { AHEAD = 8 };
  int64_t n = 0, at = 0, key_at = 0;
  for (int64_t i = 0; i < count; i++) {
    if (i + AHEAD < count) __builtin_prefetch(messages[i + AHEAD]);
    if (i + AHEAD / 2 < count) __builtin_prefetch(messages[i + AHEAD / 2]->payload);
    const struct message *message = messages[i];
    if (message->err) {
      out->troubled[out->troubles++] = (int32_t)i;
      continue;
    }
    int64_t run = out->runs - 1;
    if (run < 0 || out->run_topic[run] != message->topic ||
        out->run_partition[run] != message->partition) {
      run = out->runs++;
      out->run_topic[run] = message->topic;
      out->run_partition[run] = message->partition;
      out->run_length[run] = 0;
    }
    out->run_length[run]++;
    at = put(out->text, at, message->payload, message->length, out->begins + n, out->ends + n);
    key_at = put(out->keys, key_at, message->key, message->key_length, out->key_begins + n,
                 out->key_ends + n);
    int32_t type;
    out->offset[n] = message->offset;
    out->timestamp[n] = timestamp(message, &type);
    out->source[n++] = (int32_t)i;
  }
  memset(out->text + at, 0, (size_t)out->padding);
  memset(out->keys + key_at, 0, (size_t)out->padding);
  return n;
}

void streamgauge_let_go(struct message *const *messages, int64_t count, destroyer destroy) {
  for (int64_t i = 0; i < count; i++) destroy(messages[i]);
}
