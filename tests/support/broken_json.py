"""Bytes that are no JSON document, for every decoder's catalogue of bad input."""


def not_json(good: bytes) -> dict[str, bytes]:
    """By name, messages that are no JSON document; most are a good one spoiled."""
    return {
        "empty": b"",
        "white space": b" \n\t",
        "truncated": good[:-1],
        "cut in a string": good[:25],
        "two documents": good + good,
        "two lines": good + b"\n" + good,
        "trailing comma": good[:-1] + b",}",
        "comment": good[:-1] + b"/* */}",
        "single quotes": good.replace(b'"', b"'"),
        "byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "UTF-32": good.decode().encode("utf-32-le"),
        "Avro": b"\x00\x00\x00\x00\x07" + good,
        "gzip": b"\x1f\x8b\x08\x00",
        "trailing NUL": good + b"\x00",
        "vertical tab": b"\x0b" + good,
        "text": b"hello",
    }


TOKENS = {
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "minus Infinity": b"-Infinity",
    "overflow": b"1e999",
    "negative overflow": b"-1e999",
    "400 digits": b"1" * 400,
    "5,000 digits": b"1" * 5000,
    "leading zero": b"01",
    "plus sign": b"+1",
    "no digit after the point": b"1.",
    "no digit before the point": b".5",
    "hexadecimal": b"0x10",
    "bare word": b"nul",
    "lone high surrogate": rb'"\ud800"',
    "lone high surrogate before text": rb'"\ud800abcdef"',
    "lone low surrogate": rb'"\udc00"',
    "two high surrogates": rb'"\ud800\ud800"',
    "invalid UTF-8": b'"\xff"',
    "overlong UTF-8": b'"\xc0\x80"',
    "surrogate bytes": b'"\xed\xa0\x80"',
    "beyond Unicode": b'"\xf4\x90\x80\x80"',
    "raw control byte": b'"a\x01b"',
    "raw line feed": b'"a\nb"',
    "unknown escape": rb'"\q"',
    "cut escape": rb'"\u12"',
    "100,000 open brackets": b"[" * 100_000,
    "100,000 nested arrays": b"[" * 100_000 + b"]" * 100_000,
    "100,000 nested objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "one level too deep": b"[" * 1024 + b"]" * 1024,
}
"""By name, tokens that are no JSON value wherever they stand."""
