"""The event log, leases, keys and state tables."""

import sqlalchemy as sa
from alembic import op

from db.tables import VerbatimJson

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key_hash"),
        sa.UniqueConstraint("role", "name"),
    )
    op.create_table(
        "auctions",
        sa.Column("auction_id", sa.Text(), nullable=False),
        sa.Column("rfq_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("asked", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("noun", VerbatimJson(), nullable=False),
        sa.PrimaryKeyConstraint("auction_id"),
    )
    op.create_index(op.f("ix_auctions_rfq_id"), "auctions", ["rfq_id"], unique=False)
    op.create_table(
        "awards",
        sa.Column("rfq_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("auction_id", sa.Text(), nullable=False),
        sa.Column("residual", sa.BigInteger(), nullable=False),
        sa.Column("noun", VerbatimJson(), nullable=False),
        sa.PrimaryKeyConstraint("rfq_id", "sequence"),
    )
    op.create_table(
        "children",
        sa.Column("child_id", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=False),
        sa.Column("rfq_id", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("filled", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=True),
        sa.Column("noun", VerbatimJson(), nullable=False),
        sa.PrimaryKeyConstraint("child_id"),
    )
    op.create_index(op.f("ix_children_parent_id"), "children", ["parent_id"], unique=False)
    op.create_index(op.f("ix_children_rfq_id"), "children", ["rfq_id"], unique=False)
    op.create_table(
        "decisions",
        sa.Column("rfq_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("noun", VerbatimJson(), nullable=False),
        sa.PrimaryKeyConstraint("rfq_id", "sequence"),
    )
    op.create_table(
        "events",
        sa.Column("stream_kind", sa.Text(), nullable=False),
        sa.Column("stream_name", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("schema_version", sa.SmallInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("session_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("market_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("stream_kind", "stream_name", "sequence"),
    )
    op.create_index(op.f("ix_events_market_at"), "events", ["market_at"], unique=False)
    op.create_table(
        "fills",
        sa.Column("rfq_id", sa.Text(), nullable=False),
        sa.Column("fill_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("lift_id", sa.Text(), nullable=True),
        sa.Column("child_id", sa.Text(), nullable=True),
        sa.Column("reference", sa.BigInteger(), nullable=False),
        sa.Column("filled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("market_filled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("noun", VerbatimJson(), nullable=False),
        sa.PrimaryKeyConstraint("rfq_id", "fill_id"),
    )
    op.create_index(op.f("ix_fills_lift_id"), "fills", ["lift_id"], unique=False)
    op.create_index(op.f("ix_fills_market_filled_at"), "fills", ["market_filled_at"], unique=False)
    op.create_table(
        "holders",
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("holder"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("desk_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_digest", sa.Text(), nullable=False),
        sa.Column("rfq_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("desk_id", "key"),
    )
    op.create_table(
        "leases",
        sa.Column("rfq_id", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rfq_id"),
    )
    op.create_table(
        "lifts",
        sa.Column("lift_id", sa.Text(), nullable=False),
        sa.Column("rfq_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("quote_id", sa.Text(), nullable=False),
        sa.Column("dealer_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("noun", VerbatimJson(), nullable=False),
        sa.PrimaryKeyConstraint("lift_id"),
        sa.UniqueConstraint("rfq_id", "quote_id"),
    )
    op.create_index(op.f("ix_lifts_dealer_id"), "lifts", ["dealer_id"], unique=False)
    op.create_index(op.f("ix_lifts_request_id"), "lifts", ["request_id"], unique=False)
    op.create_index(op.f("ix_lifts_rfq_id"), "lifts", ["rfq_id"], unique=False)
    op.create_table(
        "mark_outs",
        sa.Column("rfq_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("horizon_ms", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reference", sa.BigInteger(), nullable=False),
        sa.Column("mid", sa.BigInteger(), nullable=True),
        sa.Column("control_bps", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("rfq_id", "subject", "horizon_ms"),
    )
    op.create_table(
        "parents",
        sa.Column("parent_id", sa.Text(), nullable=False),
        sa.Column("rfq_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("filled", sa.BigInteger(), nullable=False),
        sa.Column("noun", VerbatimJson(), nullable=False),
        sa.PrimaryKeyConstraint("parent_id"),
    )
    op.create_index(op.f("ix_parents_rfq_id"), "parents", ["rfq_id"], unique=False)
    op.create_table(
        "quotes",
        sa.Column("rfq_id", sa.Text(), nullable=False),
        sa.Column("quote_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("dealer_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("bid", sa.BigInteger(), nullable=True),
        sa.Column("offer", sa.BigInteger(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("noun", VerbatimJson(), nullable=False),
        sa.PrimaryKeyConstraint("rfq_id", "quote_id"),
    )
    op.create_index(op.f("ix_quotes_request_id"), "quotes", ["request_id"], unique=False)
    op.create_table(
        "requests",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("rfq_id", sa.Text(), nullable=False),
        sa.Column("auction_id", sa.Text(), nullable=False),
        sa.Column("dealer_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reference", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("market_asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("noun", VerbatimJson(), nullable=False),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index(op.f("ix_requests_market_asked_at"), "requests", ["market_asked_at"], unique=False)
    op.create_index(op.f("ix_requests_rfq_id"), "requests", ["rfq_id"], unique=False)
    op.create_table(
        "rfqs",
        sa.Column("rfq_id", sa.Text(), nullable=False),
        sa.Column("desk_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("shown_side", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=True),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("filled", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("working", sa.BigInteger(), nullable=False),
        sa.Column("unfilled", sa.BigInteger(), nullable=False),
        sa.Column("needs_person", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("noun", VerbatimJson(), nullable=False),
        sa.PrimaryKeyConstraint("rfq_id"),
    )
    op.create_index("ix_rfqs_page", "rfqs", ["desk_id", "received_at", "rfq_id"], unique=False)
    op.create_index(op.f("ix_rfqs_received_at"), "rfqs", ["received_at"], unique=False)
    op.create_index(op.f("ix_rfqs_status"), "rfqs", ["status"], unique=False)
    op.create_table(
        "trade_acknowledgements",
        sa.Column("lift_id", sa.Text(), nullable=False),
        sa.Column("dealer_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("lift_id"),
    )


def downgrade() -> None:
    raise NotImplementedError("the log is append-only: there is nothing before it to go back to")
