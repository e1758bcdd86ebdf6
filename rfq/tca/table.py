"""A block's report as plain text, for terminals."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from rfq.tca.panel import DealerAsked
from rfq.tca.report import BlockReport, Worked


def as_table(report: BlockReport) -> str:
    """Some forty lines of at most about a hundred characters, without colour."""
    parts = [
        _heading(report),
        _places(report),
        _shortfall(report),
        _against(report),
        _auctions(report),
        _dealers(report.dealers),
        _after(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def in_columns(rows: Iterable[Sequence[str]]) -> str:
    """Rows set in columns: the first to the left, the others to the right. The first row is the heading."""
    table = [tuple(row) for row in rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])


def _heading(r: BlockReport) -> str:
    side = (r.side or r.shown_side).value.replace("_", "-")
    state = r.status.value.replace("_", " ") + (f" ({r.reason})" if r.reason else "")
    lines = [
        f"{r.rfq_id}: {side} {_shares(r.asked)} {r.symbol}, {state}",
        f"arrival {_price(r.arrival)} {r.currency} with a spread of {r.arrival_spread_bps:.1f} bps, "
        f"last mid {_price(r.last_mid)}",
        f"filled {_shares(r.filled)}, unfilled {_shares(r.unfilled)}, still open {_shares(r.open)}"
        + (f", in dispute {_shares(r.excess)}" if r.excess else ""),
        f"all-in cost {_bps(r.all_in_bps)} bps of arrival ({_money(r.shortfall.total.money)} {r.currency})",
    ]
    return "\n".join([*lines, *map(_worked, r.worked)])


def _worked(w: Worked) -> str:
    how = w.schedule.value.replace("_", "-")
    if w.decisions:
        how += f", weights {w.weights or '-'}: {w.decisions} decisions, {w.by_rule} of them by the rule"
    return f"worked by {how}"


def _places(r: BlockReport) -> str:
    rows = [("where", "fills", "shares", "average", "spread", "delay", "drift", "fees", "cost", "bps")]
    for place in r.places:
        if place.fills:
            rows.append(
                (
                    place.where.value,
                    str(place.fills),
                    _shares(place.quantity),
                    _price(place.average_price),
                    _money(place.spread),
                    _money(place.delay),
                    _money(place.drift + place.unattributed),
                    _money(place.fees),
                    _money(place.cost),
                    _bps(place.cost_bps),
                )
            )
    return in_columns(rows) if len(rows) > 1 else ""


def _shortfall(r: BlockReport) -> str:
    rows = [("shortfall", r.currency, "bps")]
    for name in ("spread", "delay", "drift", "unattributed", "fees", "opportunity", "total"):
        amount = getattr(r.shortfall, name)
        if amount.money or name == "total":
            rows.append((name, _money(amount.money), _bps(amount.bps)))
    return in_columns(rows)


def _against(r: BlockReport) -> str:
    rows = [("against", "bps", "saved bps")]
    rows += [(b.name, _bps(b.cost_bps), _bps(b.saved_bps)) for b in r.benchmarks]
    if (e := r.expectation) is not None:
        for name, expected, realised in (
            ("expected at quotes", e.expected_quote_bps, e.realised_quote_bps),
            ("expected of the residual", e.expected_residual_bps, e.realised_residual_bps),
        ):
            rows.append((name, _bps(expected), _bps(expected - realised)))
    return in_columns(rows) if len(rows) > 1 else ""


def _auctions(r: BlockReport) -> str:
    rows = [("auction", "asked", "quoted", "declined", "silent", "late", "fades", "best won", "cover", "to cover bps")]
    for a in r.auctions:
        rows.append(
            (
                a.auction_id,
                str(a.asked),
                str(a.quoted),
                str(a.declined),
                str(a.silent + a.unreached),
                str(a.late),
                str(a.fades),
                _price(a.best),
                _price(a.cover),
                _bps(a.best_to_cover_bps),
            )
        )
    return in_columns(rows) if len(rows) > 1 else ""


def _dealers(dealers: Sequence[DealerAsked]) -> str:
    rows = [("dealer", "asked with", "expected bps", "answer", "after s", "price", "cost bps", "shares", "became")]
    for d in dealers:
        became = "faded" if d.faded else d.quote_status.value if d.quote_status else "late" if d.late else ""
        rows.append(
            (
                d.dealer_id,
                f"{d.propensity:.2f}" + ("*" if d.explored else ""),
                _bps(d.expected_cost_bps),
                d.outcome.value,
                "-" if d.response_s is None else f"{d.response_s:.2f}",
                _price(d.price),
                _bps(d.cost_bps),
                _shares(d.confirmed) if d.confirmed else "-",
                became or "-",
            )
        )
    return in_columns(rows) if len(rows) > 1 else ""


def _after(r: BlockReport) -> str:
    horizons = sorted({m.horizon_s for m in r.mark_outs})
    if not any(m.count for m in r.mark_outs):
        return ""
    rows = [("mid afterwards, net bps", *(_seconds(h) for h in horizons))]
    for group in dict.fromkeys(m.group for m in r.mark_outs):
        of = {m.horizon_s: m for m in r.mark_outs if m.group == group}
        rows.append((group, *(_bps(of[h].net_bps if of[h].net_bps is not None else of[h].move_bps) for h in horizons)))
    return in_columns(rows)


def _seconds(horizon_s: float) -> str:
    return f"{horizon_s:g} s" if horizon_s < 60 else f"{horizon_s / 60:g} min"


def _bps(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _price(value: Decimal | None) -> str:
    return "-" if value is None else f"{value:,.4f}"


def _money(value: Decimal) -> str:
    return f"{value:,.2f}"


def _shares(value: Decimal) -> str:
    return f"{value.normalize():,f}"
