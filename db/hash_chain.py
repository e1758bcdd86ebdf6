"""Each event's hash covers the one before it, so that no event can be changed, removed or slipped in unseen."""

from datetime import datetime
from hashlib import sha256

import msgspec

GENESIS = bytes(32)
"""Stands for the event before a stream's first."""

_encoder = msgspec.json.Encoder()


def link(
    previous: bytes,
    kind: str,
    name: str,
    sequence: int,
    schema_version: int,
    event_type: str,
    session_at: datetime,
    market_at: datetime,
    epoch: int,
    payload: bytes,
) -> bytes:
    """sha256 of the previous hash, the header as a JSON array (times as ISO-8601 UTC), and the payload."""
    header = (kind, name, sequence, schema_version, event_type, session_at, market_at, epoch)
    return sha256(b"".join((previous, _encoder.encode(header), payload))).digest()
