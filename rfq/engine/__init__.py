"""The story of a block: one task for each RFQ, driven by its recorded state, so that recovery is the same story."""
