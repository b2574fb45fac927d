//! `rtt-config`: makes the locks from their CUE sources, and checks what is there.
fn main() {}
