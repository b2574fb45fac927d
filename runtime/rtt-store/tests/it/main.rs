//! The store as its users see it: over directories, and over disks that fail.

mod cas;
mod cas_archive;
mod cas_collect;
mod cas_damage;
mod cas_disk;
mod cas_faults;
mod cas_stopped;
mod disk;
mod wal_damage;
mod wal_disk;
mod wal_faults;
mod wal_tasks;
mod wal_writing;
