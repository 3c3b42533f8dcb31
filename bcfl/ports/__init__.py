"""What the protocol needs of the world, as small protocols: ledger, blob store, signer."""
