//! Knobs, fingerprint and profile: what is tuned, for which machine, with which evidence.
