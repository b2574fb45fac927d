//! What the host is and how to place work on it: topology, pinning, counters, fingerprint, preflight, spawning.
