"""Bodies into domain terms: exact, strict, and every refusal names field, value and rule."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Generic, TypeVar

import msgspec

from rfq.api.messages import AwardBody, KillBody, LegBody, LimitsBody, PickBody, RfqBody, SettleBody, SettleOrderBody
from rfq.domain.errors import BadInput
from rfq.domain.limits import DeskLimits
from rfq.domain.rfq import Leg, ResidualTerms, RfqTerms
from rfq.domain.values import NO_LOTS, DealerId, Instrument, Price, Quantity, QuoteId, Symbol
from rfq.engine.commands import Pick

T = TypeVar("T")

LONGEST_NAME = 64
MOST_NAMES = 100
MOST_PICKS = 20
LONGEST_QUOTE_ID = 512
"""Quote ids hold the dealer's own, which may have 200 characters."""

_MONEY = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")


class BodyReader(Generic[T]):
    """Reads one kind of body from JSON. Raises BadInput for whatever is not exactly that."""

    def __init__(self, kind: type[T]) -> None:
        self._decode = msgspec.json.Decoder(kind, strict=True).decode

    def read(self, raw: bytes) -> T:
        if not raw:
            raise BadInput("body", None, "must be a JSON object")
        try:
            return self._decode(raw)
        except msgspec.ValidationError as error:
            raise bad_field(str(error), raw) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadInput("body", _short(raw), f"must be JSON: {error}") from None


_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<key>key in )?(?P<path>\$[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"(?P<what>Object missing required|Object contains unknown) field `(?P<name>[^`]*)`")


def bad_field(message: str, raw: bytes) -> BadInput:
    """What msgspec says of a body, as field (its JSON path), value and rule."""
    found = _AT.match(message)
    what, path = (found["what"], (found["path"] or "$").removeprefix("$").lstrip(".")) if found else (message, "")
    if named := _FIELD.match(what):
        path = f"{path}.{named['name']}" if path else named["name"]
        if "unknown" in named["what"]:
            return BadInput(path, value_at(raw, path), "is not a field here")
        return BadInput(path, None, "is required")
    rule = what.replace("`", "")
    if wrong := re.match(r"Expected (?P<want>.+), got (?P<got>.+)$", rule):
        rule = f"must be {wrong['want']}, not {wrong['got']}"
    elif rule.startswith("Invalid enum value"):
        rule = "is not one of the values allowed"
    return BadInput(path or "body", value_at(raw, path), rule)


def value_at(raw: bytes, path: str) -> object:
    """The value at a path such as `legs[0].side` in a JSON text; None where there is none."""
    try:
        here: object = msgspec.json.decode(raw)
        for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
            here = here[int(index)] if index else here[name]  # type: ignore[index]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return None
    return here


def terms(body: RfqBody, instruments: Mapping[Symbol, Instrument]) -> tuple[RfqTerms, Instrument]:
    """The terms asked for, and the instrument. Raises BadInput."""
    if len(body.legs) != 1:
        raise BadInput("legs", len(body.legs), "must hold exactly one leg")
    instrument = _instrument(body.legs[0], instruments)
    _names(body.include, "include")
    _names(body.exclude, "exclude")
    with own_words(body):
        residual = body.residual
        if residual is not None:
            _names(residual.venues, "residual.venues")
        found = RfqTerms(
            legs=(_leg(body.legs[0], instrument),),
            client_order_id=_text(body.client_order_id, "client_order_id", least=0),
            min_fill=_quantity_or_none(body.min_fill, instrument, "min_fill"),
            all_or_none=body.all_or_none,
            include=tuple(map(DealerId, body.include)),
            exclude=tuple(map(DealerId, body.exclude)),
            min_dealers=body.min_dealers,
            max_dealers=body.max_dealers,
            max_winners=body.max_winners,
            first_wave=body.first_wave,
            anonymous=body.anonymous,
            disclose_residual=body.disclose_residual,
            tell_losers=body.tell_losers,
            quote_window_s=body.quote_window_s,
            award=body.award,
            award_window_s=body.award_window_s,
            residual=None
            if residual is None
            else ResidualTerms(
                horizon_s=residual.horizon_s,
                max_participation=residual.max_participation,
                urgency=residual.urgency,
                schedule=residual.schedule,
                venues=residual.venues,
            ),
        )
    return found, instrument


@contextmanager
def own_words(body: msgspec.Struct) -> Iterator[None]:
    """A BadInput raised inside goes on with the value that the caller wrote: the domain counts lots, callers shares."""
    try:
        yield
    except BadInput as error:
        sent = value_at(msgspec.json.encode(body), error.field)
        raise (error if sent is None else BadInput(error.field, sent, error.rule)) from None


def picks(body: AwardBody, instrument: Instrument) -> tuple[Pick, ...]:
    """Raises BadInput."""
    if not 1 <= len(body.picks) <= MOST_PICKS:
        raise BadInput("picks", len(body.picks), f"must hold 1 to {MOST_PICKS} picks")
    seen: set[str] = set()
    found: list[Pick] = []
    for i, pick in enumerate(body.picks):
        if pick.quote_id in seen:
            raise BadInput(f"picks[{i}].quote_id", pick.quote_id, "is picked twice")
        seen.add(pick.quote_id)
        found.append(_pick(pick, instrument, f"picks[{i}]"))
    return tuple(found)


def settled_quantity(body: SettleBody, instrument: Instrument) -> Quantity | None:
    """The lots confirmed, None for all. Raises BadInput for no evidence and for parts that do not go together."""
    _text(body.evidence, "evidence", most=2000)
    if (body.lift_id is None) != (body.answer is None):
        raise BadInput("answer", body.answer, "goes with lift_id: both or neither")
    if body.quantity is None:
        return None
    if body.answer != "confirmed":
        raise BadInput("quantity", body.quantity, "is only for a confirmation")
    return instrument.parse_quantity(body.quantity, "quantity")


def settled_order(body: SettleOrderBody, instrument: Instrument) -> tuple[Quantity, Price | None]:
    """Lots filled in all, which may be none, and the price of those not known before. Raises BadInput."""
    _text(body.evidence, "evidence", most=2000)
    filled = Quantity(0) if body.filled == "0" else instrument.parse_quantity(body.filled, "filled")
    return filled, None if body.price is None else instrument.parse_price(body.price, "price")


def reason(body: KillBody) -> str:
    return _text(body.reason, "reason", most=500)


def limits(body: LimitsBody) -> DeskLimits:
    """Raises BadInput."""
    if not _MONEY.fullmatch(body.largest_block):
        raise BadInput("largest_block", body.largest_block, "must be a decimal string, not negative and below 1e18")
    money = Decimal(body.largest_block)
    if not 0 <= body.open_rfqs <= 1_000_000:
        raise BadInput("open_rfqs", body.open_rfqs, "must be from 0 to 1000000")
    if not 0 < body.largest_share_of_adv <= 100:
        raise BadInput("largest_share_of_adv", body.largest_share_of_adv, "must be above 0 and at most 100")
    return DeskLimits(money, body.open_rfqs, body.largest_share_of_adv)


def _instrument(leg: LegBody, instruments: Mapping[Symbol, Instrument]) -> Instrument:
    instrument = instruments.get(Symbol(leg.symbol))
    if instrument is None:
        raise BadInput("legs[0].symbol", leg.symbol, "must be an instrument of /v1/instruments")
    return instrument


def _leg(leg: LegBody, instrument: Instrument) -> Leg:
    limit = leg.limit_price
    return Leg(
        symbol=instrument.symbol,
        side=leg.side,
        quantity=instrument.parse_quantity(leg.quantity, "legs[0].quantity"),
        intent=leg.intent,
        limit_price=None if limit is None else instrument.parse_order_price(limit, "legs[0].limit_price"),
    )


def _pick(pick: PickBody, instrument: Instrument, where: str) -> Pick:
    if pick.revision is not None and pick.revision < 1:
        raise BadInput(f"{where}.revision", pick.revision, "must be at least 1")
    return Pick(
        quote_id=QuoteId(_text(pick.quote_id, f"{where}.quote_id", most=LONGEST_QUOTE_ID)),
        revision=pick.revision,
        quantity=instrument.parse_quantity(pick.quantity, f"{where}.quantity"),
        side=pick.side,
    )


def _quantity_or_none(text: str, instrument: Instrument, field: str) -> Quantity:
    return NO_LOTS if text == "0" else instrument.parse_quantity(text, field)


def _names(names: tuple[str, ...], field: str) -> None:
    if len(names) > MOST_NAMES:
        raise BadInput(field, len(names), f"must hold at most {MOST_NAMES} names")
    if len(set(names)) < len(names):
        raise BadInput(field, next(n for n in names if names.count(n) > 1), "is named twice")
    for i, name in enumerate(names):
        _text(name, f"{field}[{i}]")


def _text(text: str, field: str, *, least: int = 1, most: int = LONGEST_NAME) -> str:
    if not least <= len(text) <= most or not text.isprintable():
        raise BadInput(field, text, f"must be {least} to {most} printable characters")
    return text


def _short(raw: bytes) -> str:
    return raw[:100].decode("utf-8", "replace")
