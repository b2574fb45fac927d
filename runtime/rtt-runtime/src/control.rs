//! How an endpoint and its client meet: JSON lines over a Unix socket, one answer to each request.
//!
//! | request | answer |
//! |---|---|
//! | `{"hello":{"version":1}}` | `{"hello":{...}}` [`HelloAnswer`] |
//! | `{"configure":{...}}` [`Configure`] | `{"ready":{...}}` [`Ready`] |
//! | `{"attach":{"ring":0,"side":"producer"}}` | the byte `R` with two descriptors (`rtt_ring::RingFds::receive`) |
//! | `{"start":{"at_ns":..,"length_ns":..}}` | `{"started":{}}` |
//! | `{"finish":{}}`, once the client has closed its ends | `{"report":{...}}` [`Report`] |
//!
//! A request that cannot be served is answered by `{"error":"..."}` and changes nothing. Neither side sends before it
//! has the answer to what it sent, so descriptors never travel inside another answer.
//!
//! ENDPOINT-2  A hello of another version is answered with the versions of both sides, and nothing is run.

use rtt_profile::Knobs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

/// Version of this protocol.
pub const VERSION: u32 = 1;

/// Longest line that is read, in bytes: a report with histograms of all slices is a tenth of it.
const LINE_MAX: u64 = 16 << 20;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Who is there?
    Hello {
        /// The version that the client speaks.
        version: u32,
    },
    /// Set everything up.
    Configure(Configure),
    /// Hand out one end of a ring.
    Attach {
        /// Which ring.
        ring: u32,
        /// Which end.
        side: End,
    },
    /// Run until all data rings are closed.
    Start {
        /// When the first message is due, `CLOCK_MONOTONIC`.
        at_ns: u64,
        /// How long messages will be sent.
        length_ns: u64,
    },
    /// Wait for the end and tell what happened.
    Finish {},
}

/// The client's end of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The client sends here.
    Producer,
    /// The client receives replies here.
    Replies,
}

/// What an endpoint is to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configure {
    /// The knobs; absent where the endpoint runs a profile, which cannot be overruled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knobs: Option<Knobs>,
    /// How many rings the client sends on: 1..=64.
    pub rings: u32,
    /// Whether every message is sent back.
    pub reply: bool,
    /// CPUs of the loop as a list; absent: the endpoint places itself by its pin class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
}

/// Who an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// The version that it speaks.
    pub version: u32,
    /// Name and version of the build.
    pub build: String,
    /// Names of the knobs that it reads.
    pub knobs: Vec<String>,
    /// Whether it runs a profile, and so takes no knobs.
    pub profile: bool,
}

/// What was set up, read back from where it took effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The knobs in force.
    pub knobs: Knobs,
    /// CPUs of the loop's thread as the kernel tells them.
    pub cpus: String,
    /// CPUs on which the client's sender should run.
    pub producer_cpus: String,
    /// Bytes of a page of the rings' data.
    pub page_bytes: u64,
    /// Bytes of all rings.
    pub ring_bytes_total: u64,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Its name.
    pub name: String,
    /// Its count; absent where the machine has none.
    pub value: Option<u64>,
    /// Why it is absent.
    pub absent: Option<String>,
    /// What the count is worth, where it is not the whole count of a performance counter.
    pub note: Option<String>,
}

/// What a run was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Why the loop ended: `closed` when every sender closed its ring, else what went wrong.
    pub end: String,
    /// Messages handled.
    pub handled: u64,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// When the last message was handled, `CLOCK_MONOTONIC`.
    pub last_handled_ns: u64,
    /// CPU time of the loop's thread in nanoseconds.
    pub cpu_ns: u64,
    /// Elapsed time of the loop from its first wait to its end, nanoseconds.
    pub wall_ns: u64,
    /// Counts of the loop by name.
    pub counts: BTreeMap<String, u64>,
    /// Performance counters of the loop's thread.
    pub counters: Vec<Counter>,
    /// Latencies from the intended send time by slice: HdrHistogram V2-deflate, base64.
    pub latencies: Vec<String>,
    /// The same from the excused send time.
    pub lag_free: Vec<String>,
}

/// What an endpoint answers, but for descriptors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To hello.
    Hello(HelloAnswer),
    /// To configure.
    Ready(Ready),
    /// To start.
    Started {},
    /// To finish.
    Report(Box<Report>),
    /// To what cannot be served.
    Error(String),
}

/// Why a line did not come or go.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The socket failed.
    #[error("control socket: {0}")]
    Socket(#[from] io::Error),
    /// The other side is gone.
    #[error("control socket: the other side closed it")]
    Closed,
    /// The other side did not wait for an answer that carries descriptors.
    #[error(
        "control socket: another line came before the descriptors that were asked for had gone; ask again after them"
    )]
    Ahead,
    /// What came is no line of this protocol.
    #[error("control socket: not a line of this protocol: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// One side's end of the socket, in whole lines.
#[derive(Debug)]
pub struct Lines {
    reader: BufReader<UnixStream>,
}

impl Lines {
    /// Speaks over `socket`.
    pub fn new(socket: UnixStream) -> Lines {
        Lines { reader: BufReader::new(socket) }
    }

    /// The socket, for descriptors, which come and go between lines.
    ///
    /// # Errors
    /// [`LineError::Ahead`] when the other side sent more before it had its answer: descriptors would be lost in it.
    pub fn socket(&self) -> Result<&UnixStream, LineError> {
        if self.reader.buffer().is_empty() { Ok(self.reader.get_ref()) } else { Err(LineError::Ahead) }
    }

    /// Writes one line.
    ///
    /// # Errors
    /// [`LineError::Socket`].
    pub fn send<T: Serialize>(&mut self, message: &T) -> Result<(), LineError> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        Ok(self.reader.get_mut().write_all(&line)?)
    }

    /// Reads one line.
    ///
    /// # Errors
    /// [`LineError::Closed`] at the end, [`LineError::Malformed`] for anything but one whole line of the protocol.
    pub fn receive<T: for<'a> Deserialize<'a>>(&mut self) -> Result<T, LineError> {
        let mut line = Vec::new();
        let read = io::Read::take(&mut self.reader, LINE_MAX).read_until(b'\n', &mut line)?;
        if read == 0 || line.last() != Some(&b'\n') {
            return Err(LineError::Closed);
        }
        Ok(serde_json::from_slice(&line)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_documented_lines() {
        let check = |line: &str, request: Request| {
            assert_eq!(serde_json::to_string(&request).expect("JSON"), line);
            assert_eq!(serde_json::from_str::<Request>(line).expect(line), request);
        };
        check(r#"{"hello":{"version":1}}"#, Request::Hello { version: 1 });
        check(r#"{"attach":{"ring":0,"side":"producer"}}"#, Request::Attach { ring: 0, side: End::Producer });
        check(r#"{"start":{"at_ns":5,"length_ns":7}}"#, Request::Start { at_ns: 5, length_ns: 7 });
        check(r#"{"finish":{}}"#, Request::Finish {});
    }

    #[test]
    fn half_a_line_is_no_request() {
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        ours.write_all(b"{\"finish\":{}}").expect("bytes");
        drop(ours);
        assert!(matches!(Lines::new(theirs).receive::<Request>(), Err(LineError::Closed)));
    }
}
