"""A service that is told to stop takes its orders out of the venues and records it, before it gives its blocks up."""

from house import HOUR, House, World, terms

from lit_router.domain.child import CHILD_OVER
from rfq.domain.rfq import RfqStatus


async def test_no_order_is_left_live_in_the_venue_or_the_record(database_url: str, world: World) -> None:
    async with House.open(database_url, world) as first:
        rfq_id = await first.submit(terms(residual=HOUR))
        await first.until(rfq_id, "working")
        await first.sleep(2.0)
        assert first.lit.live or first.dark.live, "something rests"
    assert not first.lit.live and not first.dark.live
    async with House.open(database_url, world, holder="engine-b", seed=2, start=False) as second:
        children = [row for row in await second.reader.orders(rfq_id) if row["kind"] == "child"]
        assert children and {row["status"] for row in children} <= {status.value for status in CHILD_OVER}
        await second.start()
        assert (await second.until(rfq_id)).status is RfqStatus.DONE, "and the next one goes on"
