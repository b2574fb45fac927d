//! The store as its users see it: over directories, and over disks that fail.

mod cas;
mod cas_disk;
mod disk;
