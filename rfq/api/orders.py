"""Order rows into answers: each parent with its children."""

from collections.abc import Iterable, Mapping
from typing import Any

from rfq.api.answers import ChildAnswer, OrdersAnswer, ParentAnswer
from rfq.domain.values import Instrument, Price, Quantity, Side


def orders(rows: Iterable[Mapping[str, Any]], i: Instrument) -> OrdersAnswer:
    """`rows` as RfqReader.orders gives them: `kind` parent or child, and the columns of its table."""
    parents: list[Mapping[str, Any]] = []
    children: dict[str, list[ChildAnswer]] = {}
    for row in rows:
        if row["kind"] == "parent":
            parents.append(row)
        else:
            children.setdefault(row["parent_id"], []).append(_child(row, i))
    return OrdersAnswer(
        parents=tuple(
            ParentAnswer(
                parent_id=row["parent_id"],
                status=row["status"],
                side=Side(row["side"]),
                quantity=i.format_quantity(Quantity(row["quantity"])),
                filled=i.format_quantity(Quantity(row["filled"])),
                children=tuple(children.get(row["parent_id"], ())),
            )
            for row in parents
        )
    )


def _child(row: Mapping[str, Any], i: Instrument) -> ChildAnswer:
    price = row["price"]
    return ChildAnswer(
        child_id=row["child_id"],
        venue=row["venue"],
        status=row["status"],
        quantity=i.format_quantity(Quantity(row["quantity"])),
        filled=i.format_quantity(Quantity(row["filled"])),
        price=None if price is None else i.format_price(Price(price)),
    )
