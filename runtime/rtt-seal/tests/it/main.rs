//! Signatures and keys as an attacker would make them, through the public interface.

mod signatures;
