//! Rings: one producer, one consumer, records of any length, in sealed memory that two processes share.
//!
//! The creator makes a [`Segment`] and hands each side its [`RingFds`]; a [`Producer`] and a [`Consumer`]
//! attach to them, in one process or in two. Records are written in place and published in batches; the
//! reader copies them out, or borrows them in place where it trusts the writer. Fan-in and fan-out are
//! several rings. Whatever the peer writes is checked and answered with an error, never a panic.
//!
//! ```
//! use rtt_ring::{Consumer, Pages, Producer, RingCapacity, RingConfig, Segment};
//!
//! let capacity = RingCapacity::new(64 << 10).expect("a power of two");
//! let segment = Segment::create(&RingConfig { capacity, pages: Pages::Small, epoch: 1 })?;
//! let mut producer = Producer::attach(segment.producer_fds()?, None)?;
//! let mut consumer = Consumer::attach(segment.consumer_fds()?, None)?;
//!
//! let mut grant = producer.reserve(5)?;
//! grant.copy_from_slice(b"hello");
//! grant.commit();
//! producer.publish();
//!
//! let mut buffer = [0; 16];
//! assert_eq!(consumer.read(&mut buffer)?, Some(5));
//! assert_eq!(&buffer[..5], b"hello");
//! consumer.release();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The layout that other languages attach to is in [`layout`]. Never counts: the caller owns telemetry.

mod attach;
mod barrier;
mod clock;
mod consumer;
mod handover;
pub mod layout;
mod map;
mod pages;
mod producer;
mod protocol;
mod segment;
mod shared;
mod wait;
mod wait_any;

pub use attach::AttachError;
pub use clock::now;
pub use consumer::{Consumer, ReadError};
pub use handover::{HandoverError, TAG};
pub use pages::Pages;
pub use producer::{Grant, Producer, ReserveError};
pub use protocol::Fault;
pub use segment::{CreateError, DuplicateError, RingCapacity, RingConfig, RingFds, Segment};
pub use shared::Side;
pub use wait::{LIVENESS_SLICE, WaitError, WaitOutcome, WaitStrategy, Waited};
pub use wait_any::wait_any;
