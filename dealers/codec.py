"""Frames <-> messages, strictly: what is not in the protocol is refused with the field, the value and the rule."""

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from dealers import wire
from rfq.domain.errors import BadInput, PeerFault

Frame = str | bytes
In = TypeVar("In")

MAX_FRAME = 16_384
"""Bytes. The longest message of the protocol is well below 2 KiB."""


class Malformed(PeerFault):
    """A frame that is no message at all: not JSON or MessagePack, too long, or of the wrong frame type."""


class Codec(Generic[In]):
    """One subprotocol, seen from one end: `In` is what that end receives.

    JSON travels in text frames, MessagePack in binary ones.
    """

    def __init__(self, subprotocol: str, incoming: Any) -> None:
        """Raises BadInput for a subprotocol that is not spoken here."""
        self.subprotocol = subprotocol
        self.encode: Callable[[wire.Message], Frame]
        self._decode: Callable[[Any], In]
        self._raw: Callable[[Any], Any]
        if subprotocol == wire.JSON:
            as_json = msgspec.json.Encoder().encode
            self.encode = lambda message: as_json(message).decode()
            self._decode = msgspec.json.Decoder(incoming).decode
            self._raw, self._type = msgspec.json.decode, str
        elif subprotocol == wire.MSGPACK:
            self.encode = msgspec.msgpack.Encoder().encode
            self._decode = msgspec.msgpack.Decoder(incoming).decode
            self._raw, self._type = msgspec.msgpack.decode, bytes
        else:
            raise BadInput("subprotocol", subprotocol, f"must be one of {', '.join(wire.SUBPROTOCOLS)}")

    def decode(self, frame: Frame) -> In:
        """Raises Malformed, or BadInput naming field, value and rule."""
        if len(frame) > MAX_FRAME:
            raise Malformed(f"the frame is longer than {MAX_FRAME} bytes")
        if not isinstance(frame, self._type):
            wanted = "text" if self._type is str else "binary"
            raise Malformed(f"{self.subprotocol} travels in {wanted} frames")
        try:
            return self._decode(frame)
        except msgspec.ValidationError as error:
            raise _mistake(str(error), self._object(frame)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(f"the frame cannot be read: {error}") from None

    def gist(self, frame: Frame) -> str:
        """Type and id of a message that could not be taken, as far as they can be read."""
        raw = self._object(frame)
        identity = raw.get("lift_id") or raw.get("quote_id") or raw.get("request_id") or ""
        return f"{raw.get('type', '')} {identity}".strip()[:100]

    def _object(self, frame: Frame) -> dict[str, Any]:
        """The frame without its types checked; empty if it cannot be read or is no object."""
        if len(frame) > MAX_FRAME or not isinstance(frame, self._type):
            return {}
        try:
            raw = self._raw(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        return raw if isinstance(raw, dict) else {}


def dealer_side(subprotocol: str) -> Codec[wire.FromSotto]:
    """What a dealer needs: it hears Sotto."""
    return Codec(subprotocol, wire.FromSotto)


_SOTTO_SIDE = {name: Codec[wire.FromDealer](name, wire.FromDealer) for name in wire.SUBPROTOCOLS}


def sotto_side(subprotocol: str | None) -> Codec[wire.FromDealer]:
    """What Sotto needs: it hears dealers. One codec serves every connection. Raises BadInput."""
    codec = _SOTTO_SIDE.get(subprotocol or "")
    if codec is None:
        raise BadInput("subprotocol", subprotocol, f"must be one of {', '.join(wire.SUBPROTOCOLS)}")
    return codec


_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_NAMED = re.compile(r"^Object (?P<how>missing required|contains unknown) field `(?P<field>[^`]*)`$")
_RULES = {
    "[0-9]{1,15}": 'must be a decimal string, such as "100.25"',
    "[!-~]{1,64}": "must be 1 to 64 visible ASCII characters without spaces",
}
"""What the patterns of wire.Number and wire.Name mean in words."""


def _mistake(said: str, raw: dict[str, Any]) -> BadInput | Malformed:
    """Turns what the decoder said into field, value and rule."""
    match = _WHERE.match(said)
    what, path = (match["what"], match["path"] or "") if match else (said, "")
    named = _NAMED.match(what)
    if named:
        field = f"{path}.{named['field']}" if path else named["field"]
        if named["how"].startswith("missing"):
            return BadInput(field, None, "is required")
        return BadInput(field, _at(raw, field), "is not known")
    if not path:
        return Malformed(f"the frame is no message: {what[:1].lower() + what[1:]}")
    value = _at(raw, path)
    for pattern, rule in _RULES.items():
        if pattern in what:
            return BadInput(path, value, rule)
    return BadInput(path, value, what[:1].lower() + what[1:])


def _at(raw: Any, path: str) -> Any:
    """The value at a dotted path, or None."""
    for key in re.findall(r"[^.\[\]]+", path):
        if isinstance(raw, dict):
            raw = raw.get(key)
        elif isinstance(raw, list) and key.isdigit() and int(key) < len(raw):
            raw = raw[int(key)]
        else:
            return None
    return raw
