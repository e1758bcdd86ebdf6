"""An RFQ's events as lines for a person at a screen. Times are the market's, prices and quantities the instrument's."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from rfq.api.answers import EventAnswer

DECLINES = {
    "unknown_symbol": "makes no market in it",
    "no_inventory": "declines, no room for it",
    "pass": "passes",
    "too_late": "declines, too little time",
    "other": "declines",
}
"""How the reasons of dealers.wire read in a sentence that begins with the dealer."""


class Narrator:
    """Tells one RFQ's story; child orders by the dozen."""

    EVERY = 25

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name, self._say = name, say
        self._fills = 0
        self._asked: dict[str, str] = {}
        self._lifted: dict[str, str] = {}
        self._decides: tuple[str, bool] | None = None

    def tell(self, event: EventAnswer) -> None:
        line = self._line(event.event, event.data)
        if line is not None:
            self._say(f"{self._name:>12} | {event.market_at:%H:%M:%S} {line}")

    def _line(self, kind: str, data: Mapping[str, Any]) -> str | None:
        match kind:
            case "DealersAsked":
                self._asked |= {r["request_id"]: r["dealer_id"] for r in data["requests"]}
                return f"wave {data['wave']}: asked {', '.join(r['dealer_id'] for r in data['requests'])}"
            case "RequestsUnreached":
                return f"{self._dealers(data['request_ids'])} could not be reached"
            case "QuoteReceived":
                return f"{data['quote']['dealer_id']} quotes (sealed)"
            case "RequestDeclined":
                reason = data["reason"]
                return f"{self._dealers([data['request_id']])} {DECLINES.get(reason, f'declines: {reason}')}"
            case "AuctionClosed":
                silent = f", {self._dealers(data['silent'])} silent" if data["silent"] else ""
                return f"auction closed{silent}"
            case "AwardDecided":
                award = data["award"]
                taken = [f"{lots(x['quantity'])} at {x['price']} from {x['dealer_id']}" for x in award["allocations"]]
                rest = f"{lots(award['residual'])} to work" if Decimal(award["residual"]) else "nothing to work"
                return f"award: {'; '.join([*taken, rest])}"
            case "QuoteLifted":
                self._lifted[data["lift"]["lift_id"]] = data["lift"]["dealer_id"]
                return None
            case "LiftConfirmed":
                return f"{data['fill']['venue']} confirms {_fill(data['fill'])}"
            case "LiftRefused":
                return f"{self._lifted_from(data)} does not trade: {data['reason']}"
            case "LiftUnknown":
                return f"{self._lifted_from(data)} is asked what became of the lift: {data['reason']}"
            case "ParentCreated":
                order = data["order"]
                minutes = f"{order['horizon_s'] / 60:.0f} minutes"
                return f"working {lots(order['quantity'])} over {minutes}, {order['schedule'].replace('_', '-')}"
            case "SliceDecided":
                return self._decided(data["decision"])
            case "ParentPaused":
                return f"working paused: {data['reason']}"
            case "ParentResumed":
                return "working resumed"
            case "ChildFilled":
                self._fills += 1
                if self._fills % self.EVERY == 1:
                    return f"child fill {self._fills}: {_fill(data['fill'])}, {data['fill']['venue']}"
                return None
            case "BreakFound":
                return f"BREAK: {data['fill']['venue']} filled {lots(data['excess'])} more than asked"
            case "PersonNeeded":
                return f"NEEDS A PERSON: {data['reason']}"
            case "PersonSettled":
                return f"settled by {data['by']}: {data['evidence']}"
            case "RfqDone" | "RfqExpired" | "RfqCancelled" | "RfqRejected":
                return f"{kind.removeprefix('Rfq').lower()}: {data['reason']}"
            case _:
                return None

    def _decided(self, decision: Mapping[str, Any]) -> str | None:
        """Who decides, whenever that is another than before; each single decision is in the record."""
        now = decision["version"], bool(decision["guard"])
        if now == self._decides:
            return None
        self._decides = now
        if decision["guard"]:
            return f"the rule decides: {decision['guard']}"
        return f"slices by {decision['policy']} policy, weights {decision['version']}"

    def _dealers(self, request_ids: list[str]) -> str:
        return ", ".join(self._asked.get(request_id, "a dealer") for request_id in request_ids)

    def _lifted_from(self, data: Mapping[str, Any]) -> str:
        return self._lifted.get(data["lift_id"], "a dealer")


def lots(quantity: str) -> str:
    """A decimal string with thousands marked."""
    return f"{Decimal(quantity):,f}"


def _fill(fill: Mapping[str, Any]) -> str:
    return f"{lots(fill['quantity'])} at {fill['price']}"
