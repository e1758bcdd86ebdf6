"""The real clock and real ids: the only place where either is made."""

import asyncio
import secrets
from datetime import UTC, datetime


class SystemClock:
    """The session clock (rfq.ports.Clock): UTC off the machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251  # This is the one place.

    async def sleep_until(self, at: datetime) -> None:
        await asyncio.sleep(max(0.0, (at - self.now()).total_seconds()))


class RandomIds:
    """Unguessable ids (rfq.ports.IdSource): 96 random bits from the operating system."""

    def new(self, noun: str) -> str:
        return f"{noun}-{secrets.token_hex(12)}"
