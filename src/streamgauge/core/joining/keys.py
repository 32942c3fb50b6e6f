"""Keys: prediction ids as hashes of one length, by which records are found again."""

from collections.abc import Iterable
from hashlib import blake2b

from streamgauge.core.joining.store import KEY_BYTES


def keys(model: str, ids: Iterable[str]) -> list[bytes]:
    """Return the key of every id: 16 bytes, the same in every process and on every machine.

    BLAKE2b (RFC 7693) over the model's name, led by its length, and the id. Among n ids two share
    a key with a chance of about n² / 2^129: 1.5e-23 for 10^8. Nobody can choose ids that collide
    for less than some 2^64 tries, which the short-cuts to MD5 or xxHash would let anybody do.

    >>> [key.hex() for key in keys("m", ["p1"])]
    ['7bb7a6c1d68a580808a5bb50329346e3']
    """
    name = model.encode("utf-8", "surrogatepass")
    # The state after the model's name is copied for each id: half the cost of a hash begun anew.
    begun = blake2b(len(name).to_bytes(8, "little") + name, digest_size=KEY_BYTES).copy
    found = []
    for identifier in ids:
        state = begun()
        state.update(identifier.encode("utf-8", "surrogatepass"))
        found.append(state.digest())
    return found
