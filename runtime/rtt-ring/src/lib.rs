//! Single-producer, single-consumer rings of variable-length records in shared memory.
