"""Deflate: zlib reads what ISA-L wrote."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from streamgauge.deflate import deflated, deflated_raw

BYTES = st.binary(max_size=2_000) | st.builds(
    lambda some, n: some * n, st.binary(), st.integers(0, 500)
)


@given(BYTES)
def test_zlib_reads_it(data: bytes) -> None:
    assert zlib.decompress(deflated(data)) == data


@given(st.lists(BYTES, min_size=1, max_size=4))
def test_parts_that_are_not_final_are_one_stream_with_what_follows(parts: list[bytes]) -> None:
    last = len(parts) - 1
    together = b"".join(deflated_raw(part, final=i == last) for i, part in enumerate(parts))
    reader = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    assert reader.decompress(together) == b"".join(parts)
    assert reader.eof
