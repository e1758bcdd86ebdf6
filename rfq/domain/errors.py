"""What can go wrong, and whose fault it is. Every error Sotto raises on purpose descends from one of three."""


class SottoError(Exception):
    """Base of everything raised on purpose; never raised itself."""


class OurFault(SottoError):
    """A bug or a broken part on our side. HTTP 5xx; the peer did nothing wrong."""


class PeerFault(SottoError):
    """The caller or the counterparty sent something it should not have. HTTP 4xx; typed error on a socket."""


class Refusal(SottoError):
    """A well-formed request that business rules or the state of things do not allow. HTTP 409 or 403."""


class BadInput(PeerFault):
    """One field of a request breaks one rule. Names all three, so that the caller can mend it."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(f"{field}: {value!r} {rule}")
        self.field, self.value, self.rule = field, value, rule


class NotFound(PeerFault):
    """No such thing, or it is not the caller's to see: both answer alike, so that ids cannot be probed."""

    def __init__(self, noun: str, identity: str) -> None:
        super().__init__(f"no {noun} {identity!r}")
        self.noun, self.identity = noun, identity


class KeyReused(PeerFault):
    """An Idempotency-Key came again with another body."""

    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency-Key {key!r} was used before with another body")
        self.key = key


class NoNewRisk(Refusal):
    """The kill switch is thrown or the database is away: nothing that adds risk is begun."""


class NotAllowed(Refusal):
    """The caller is known, and its role does not permit this."""


class WrongState(Refusal):
    """The thing exists and is in a state in which this cannot be done."""

    def __init__(self, noun: str, identity: str, state: str, wanted: str) -> None:
        super().__init__(f"{noun} {identity} is {state}: cannot {wanted}")
        self.noun, self.identity, self.state, self.wanted = noun, identity, state, wanted


class LimitBreached(Refusal):
    """A desk or system limit forbids it. Names the limit, the bound and what was asked."""

    def __init__(self, limit: str, bound: object, asked: object) -> None:
        super().__init__(f"{limit} is {bound}, asked {asked}")
        self.limit, self.bound, self.asked = limit, bound, asked


class MarketUnfit(Refusal):
    """The market is halted, stale or has no two-sided price, so no arrival price can be stored."""


class IllegalTransition(OurFault):
    """An event arrived in a state whose transition table does not list it. Nothing was changed."""

    def __init__(self, noun: str, state: str, event: str) -> None:
        super().__init__(f"{noun} in state {state!r} does not take {event!r}")
        self.noun, self.state, self.event = noun, state, event


class Inconsistent(OurFault):
    """An event contradicts what is already recorded (lots that do not add up, an id used twice)."""


class StoreUnavailable(OurFault):
    """The database cannot be reached or refused the write. No new risk is taken until it is back."""


class StreamConflict(OurFault):
    """Somebody else wrote this stream first: what we thought was its end is not."""


class LeaseLost(OurFault):
    """Another engine owns this RFQ now (a newer fencing epoch is recorded). Stop; change nothing."""


class NeedsPerson(OurFault):
    """Something can only be settled by a person with evidence, such as an order a venue will not account for."""


class PeerGone(PeerFault):
    """The counterparty's line is down. What it last said stands until it is asked again."""
