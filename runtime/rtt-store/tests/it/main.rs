//! The store as its users see it: over directories, and over disks that fail.

mod disk;
