//! Digests, DSSE envelopes, Ed25519 keys: what makes bytes trusted.
