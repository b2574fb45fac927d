//! What runs on a host. The endpoint here is the loop that is tuned and the loop that ships.
//!
//! An endpoint makes the rings that its knobs ask for, hands their far ends to a client over a Unix socket
//! ([`control`]), runs the [`MessageLoop`] on a placed thread and tells its [`telemetry`] when the client is done. The
//! lab is one such client, a connector another.

pub mod control;
mod endpoint;
mod message;
mod message_loop;
pub mod telemetry;

pub use endpoint::{Client, ClientError, Endpoint, EndpointError};
pub use message::{STAMP_BYTES, Stamp};
pub use message_loop::{LoopCounts, LoopEnd, LoopReport, MessageLoop, wait_strategy};
