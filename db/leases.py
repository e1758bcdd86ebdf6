"""Who owns which RFQ. An epoch that only rises fences out whoever owned it before: every append checks it.

A holder is alive while it renews (the database's clock decides) or while its session with the database stands;
what a dead holder had can be claimed. Being wrong about a death costs a takeover, never a double write.
"""

import asyncio
from hashlib import sha256

import asyncpg

from db.database import Database, store_faults
from rfq.domain.errors import LeaseLost
from rfq.domain.values import RfqId
from rfq.ports import Lease

_RENEW = """
INSERT INTO holders (holder, expires_at) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (holder) DO UPDATE SET expires_at = excluded.expires_at"""

_SEEN = """
SELECT l.holder, l.epoch, coalesce(h.expires_at > clock_timestamp(), false) AS alive
FROM leases l LEFT JOIN holders h USING (holder) WHERE l.rfq_id = $1 FOR UPDATE OF l"""

_FIRST = "INSERT INTO leases (rfq_id, holder, epoch) VALUES ($1, $2, 1) ON CONFLICT DO NOTHING RETURNING true"

_TAKE = "UPDATE leases SET holder = $2, epoch = epoch + 1 WHERE rfq_id = $1 RETURNING epoch"

_RELEASE = "UPDATE leases SET holder = '' WHERE rfq_id = $1 AND holder = $2 AND epoch = $3"


class Leases:
    """One holder's leases. Call `renew` at least every third of `lease_s`."""

    def __init__(self, database: Database, holder: str, *, lease_s: float = 6.0) -> None:
        """`holder` must be unique to this process; `lease_s`: how long a silent holder keeps what it has."""
        self._database, self._holder, self._lease_s = database, holder, lease_s
        self._session: asyncpg.Connection | None = None
        self._marked = False
        self._turn = asyncio.Lock()

    def first(self, rfq_id: RfqId) -> Lease:
        """The lease of an RFQ that does not exist yet; its row is written by its first append."""
        return Lease(rfq_id, self._holder, 1)

    async def renew(self) -> None:
        """Says that we are alive. Raises StoreUnavailable."""
        with store_faults():
            async with self._turn, asyncio.timeout(self._lease_s):
                if self._session is None or self._session.is_closed():
                    self._session, self._marked = await self._database.connect(), False
                if not self._marked:
                    # Kept as long as this session stands: lets others see at once that we died. Not waited for:
                    # a session of ours before this one may still be ending.
                    key = _session_key(self._holder)
                    self._marked = await self._session.fetchval("SELECT pg_try_advisory_lock($1)", key)
                await self._session.execute(_RENEW, self._holder, self._lease_s)

    async def claim(self, rfq_id: RfqId) -> Lease:
        """See rfq.ports.RfqStore.claim. What this holder has already is claimed anew, with a higher epoch."""
        if self._session is None:
            await self.renew()
        async with self._database.raw() as connection:
            seen = await connection.fetchrow(_SEEN, rfq_id)
            if seen is None:
                if not await connection.fetchval(_FIRST, rfq_id, self._holder):
                    raise LeaseLost(f"RFQ {rfq_id} was claimed by another process just now")
                return self.first(rfq_id)
            if seen["alive"] and seen["holder"] != self._holder:
                # Nobody holds the key of a session that has ended, even if its time has not run out.
                key = _session_key(seen["holder"])
                if not await connection.fetchval("SELECT pg_try_advisory_xact_lock_shared($1)", key):
                    raise LeaseLost(f"RFQ {rfq_id} is owned by {seen['holder']}")
            epoch = await connection.fetchval(_TAKE, rfq_id, self._holder)
            return Lease(rfq_id, self._holder, int(epoch or 0))

    async def release(self, lease: Lease) -> None:
        """Gives it up, if it still holds; the epoch stays. Raises StoreUnavailable."""
        async with self._database.raw() as connection:
            await connection.execute(_RELEASE, lease.rfq_id, lease.holder, lease.epoch)

    def close(self) -> None:
        """Ends the session: what we still hold is free at once."""
        if self._session:
            self._session.terminate()
            self._session = None


def _session_key(holder: str) -> int:
    return int.from_bytes(sha256(holder.encode()).digest()[:8], signed=True)
