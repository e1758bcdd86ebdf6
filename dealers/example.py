"""A complete, minimal dealer for Sotto: quotes every request around a mid of its own and honours what it quoted.

    SOTTO_URL=ws://127.0.0.1:8080/v1/dealers/link SOTTO_KEY=... python example.py

Needs Python 3.11 and `pip install websockets`. Put your own pricing into `quote`; keep `said` on disk in earnest.
"""

import asyncio
import json
import os
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

MIDS = json.loads(os.environ.get("MIDS", '{"QDI": "100.00"}'))  # Your prices, by symbol.
JSON = Subprotocol("sotto.v1.json")
HALF_SPREAD = Decimal("0.0005")
STATES = {"confirm": "confirmed", "refuse": "refused"}
quoted, said = set(), {}  # Requests quoted; what was said to each lift, because the answer must never change.


def quote(request):
    name, mid = request["request_id"], Decimal(MIDS.get(request["symbol"], "0"))
    if not mid:
        return {"type": "decline", "request_id": name, "reason": "unknown_symbol"}
    tick = Decimal([band["tick"] for band in request["ticks"] if Decimal(band["from_price"]) <= mid][-1])
    up = (mid * (1 + HALF_SPREAD) / tick).to_integral_value(ROUND_CEILING) * tick
    down = (mid * (1 - HALF_SPREAD) / tick).to_integral_value(ROUND_FLOOR) * tick
    message = {"type": "quote", "request_id": name, "quote_id": "q1", "valid_for_s": request["time_left_s"] + 30}
    if request["side"] != "sell":  # The side is the desk's: a desk that buys needs our offer.
        message["offer"] = {"price": str(up), "quantity": request["quantity"]}
    if request["side"] != "buy":
        message["bid"] = {"price": str(down), "quantity": request["quantity"]}
    quoted.add((name, "q1", 1))
    return message


def answer(heard):
    lift_id = heard.get("lift_id")
    match heard["type"]:
        case "quote_request" if heard["time_left_s"] > 0:
            return quote(heard)
        case "lift":  # A lift of what we quoted, firm, is a trade.
            ours = (heard["request_id"], heard["quote_id"], heard["revision"]) in quoted
            return said.setdefault(lift_id, {"type": "confirm" if ours else "refuse", "lift_id": lift_id})
        case "status_request":  # A lift that we call unknown must be refused if it comes yet.
            state = STATES[said[lift_id]["type"]] if lift_id in said else "unknown"
            said.setdefault(lift_id, {"type": "refuse", "lift_id": lift_id})
            return {"type": "status", "lift_id": lift_id, "state": state}
        case "trade":  # Book it, once for each lift_id.
            return {"type": "trade_ack", "lift_id": lift_id}
        case "error" | "logout":
            print(heard, flush=True)


async def beat(socket, every_s):
    while True:
        await asyncio.sleep(every_s)
        await socket.send('{"type": "heartbeat"}')


async def main():
    headers = {"Authorization": "Bearer " + os.environ["SOTTO_KEY"]}
    logon, beating = {"type": "logon", "version": 1, "cancel_on_disconnect": True}, None
    async for socket in connect(os.environ["SOTTO_URL"], additional_headers=headers, subprotocols=[JSON]):
        try:
            await socket.send(json.dumps(logon))
            async for frame in socket:
                try:
                    heard = json.loads(frame)
                except ValueError:
                    print("not understood:", frame, flush=True)
                    continue
                if heard["type"] == "session":
                    if not heard["resumed"]:
                        logon |= {"session_id": heard["session_id"], "last_sequence": heard["sequence"]}
                    beating = asyncio.create_task(beat(socket, heard["heartbeat_s"]))
                elif heard["type"] not in ("heartbeat", "error", "gap", "logout"):
                    logon["last_sequence"] = max(logon["last_sequence"], heard["sequence"])
                if (reply := answer(heard)) is not None:
                    await socket.send(json.dumps(reply))
        except ConnectionClosed:
            print("line lost; trying again", flush=True)
        finally:
            if beating:
                beating.cancel()


if __name__ == "__main__":
    asyncio.run(main())
