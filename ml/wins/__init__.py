"""Will this quote win? A model of a bank's own RFQs, from the dealer's side: `rfq evaluate wins`."""
