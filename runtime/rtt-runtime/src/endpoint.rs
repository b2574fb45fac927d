//! One endpoint and its client, over the control socket.
//!
//! Everything that a client's request sets up lives on a placed thread of its own: it pins itself, makes the rings
//! (their pages are touched where they will be read), then runs the loop.
//!
//! ENDPOINT-5  What `ready` tells was read back from where it took effect: affinity from the kernel, page size from
//!             the map, knobs from the loop's own settings.

use crate::control::{Answer, Configure, Counter, End, HelloAnswer, LineError, Lines, Ready, Report, Request, VERSION};
use crate::message_loop::{LoopEnd, LoopReport, MessageLoop};
use crate::telemetry::SlicedHistogram;
use rtt_host::{Counters, allowance, allowed_cpus, pin_thread, topology};
use rtt_measure::encode_histogram;
use rtt_profile::{KNOB_NAMES, Knobs, Pin};
use rtt_ring::{Consumer, Pages, Producer, RingCapacity, RingConfig, RingFds, Segment};
use rtt_seal::in_full;
use rtt_units::{CpuSet, Nanos};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// Most rings of one client.
const RINGS_MAX: u32 = 64;

/// Why an endpoint stopped serving a client.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The client spoke something else, or the socket failed.
    #[error(transparent)]
    Line(#[from] LineError),
    /// Descriptors did not reach the client.
    #[error("ring descriptors did not reach the client")]
    Handover(#[from] rtt_ring::HandoverError),
}

/// A server of the control protocol.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// The knobs of a profile, which no client overrules; `None` takes each client's.
    pub profile: Option<Knobs>,
    /// How much later every message is handled: a slowdown of known size, to try a gate on; none in production.
    pub delay: Nanos,
}

/// A loop that was set up: what the control side holds of it.
struct Configured {
    segments: Vec<Segment>,
    reply_segments: Vec<Segment>,
    start: mpsc::Sender<(Nanos, Nanos)>,
    thread: JoinHandle<(LoopReport, Vec<Counter>)>,
}

impl Configured {
    /// Ends the loop of a client that went away without its report: nobody would ever close its rings.
    fn abandon(self) {
        let Configured { segments, reply_segments, start, thread } = self;
        drop(start);
        segments.iter().chain(&reply_segments).for_each(Segment::revoke);
        let _ = thread.join(); // Its report is for nobody, and so is its panic.
    }
}

impl Endpoint {
    /// Serves one client until it closes the socket.
    ///
    /// # Errors
    /// [`EndpointError`] when the socket fails or the client speaks something else; what the client asks wrongly is
    /// answered to it and is no error here.
    pub fn serve(&self, socket: UnixStream) -> Result<(), EndpointError> {
        let mut configured = None;
        let served = self.converse(socket, &mut configured);
        if let Some(left) = configured {
            left.abandon();
        }
        served
    }

    fn converse(&self, socket: UnixStream, configured: &mut Option<Configured>) -> Result<(), EndpointError> {
        let client = peer_pidfd(&socket);
        let mut lines = Lines::new(socket);
        loop {
            let request = match lines.receive::<Request>() {
                Ok(request) => request,
                Err(LineError::Closed) => return Ok(()),
                Err(LineError::Malformed(error)) => {
                    lines.send(&Answer::Error(format!("not a request of version {VERSION}: {error}")))?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let answer = match request {
                Request::Hello { version } => self.hello(version),
                Request::Configure(_) if configured.is_some() => Answer::Error("already configured".into()),
                Request::Configure(wanted) => match self.configure(&wanted, client.as_ref()) {
                    Ok((ready, made)) => {
                        *configured = Some(made);
                        Answer::Ready(ready)
                    }
                    Err(reason) => Answer::Error(reason),
                },
                Request::Attach { ring, side } => match attach(configured.as_ref(), ring, side) {
                    Ok(fds) => {
                        fds.send(lines.socket()?)?;
                        continue;
                    }
                    Err(reason) => Answer::Error(reason),
                },
                Request::Start { at_ns, length_ns } => match configured {
                    Some(made) if made.start.send((Nanos(at_ns), Nanos(length_ns))).is_ok() => Answer::Started {},
                    Some(_) => Answer::Error("the loop was started before".into()),
                    None => Answer::Error("not configured".into()),
                },
                Request::Finish {} => match configured.take() {
                    Some(made) => finish(made),
                    None => Answer::Error("not configured".into()),
                },
            };
            lines.send(&answer)?;
        }
    }

    /// ENDPOINT-2
    fn hello(&self, version: u32) -> Answer {
        if version != VERSION {
            return Answer::Error(format!("this endpoint speaks version {VERSION}, the client version {version}"));
        }
        Answer::Hello(HelloAnswer {
            version: VERSION,
            build: concat!("rtt-endpoint ", env!("CARGO_PKG_VERSION")).into(),
            knobs: KNOB_NAMES.map(String::from).to_vec(),
            profile: self.profile.is_some(),
        })
    }

    fn configure(&self, wanted: &Configure, client: Option<&OwnedFd>) -> Result<(Ready, Configured), String> {
        let knobs = match (&self.profile, &wanted.knobs) {
            (Some(_), Some(_)) => return Err("this endpoint runs a profile, which a client cannot overrule".into()),
            (Some(knobs), None) | (None, Some(knobs)) => knobs.clone(),
            (None, None) => return Err("no knobs were given, and this endpoint runs no profile".into()),
        };
        knobs.check().map_err(|error| error.to_string())?;
        if !(1..=RINGS_MAX).contains(&wanted.rings) {
            return Err(format!("{} rings were asked for, expected 1..={RINGS_MAX}", wanted.rings));
        }
        let (cpus, producer_cpus) = place(&knobs, wanted)?;
        let peers = (0..wanted.rings * 2).map(|_| client.map(OwnedFd::try_clone).transpose());
        let peers: Vec<Option<OwnedFd>> = peers.collect::<Result<_, _>>().map_err(|e| format!("pidfd: {e}"))?;
        let (start, started) = mpsc::channel();
        let (made, make) = mpsc::channel();
        let setup =
            Setup { knobs, rings: wanted.rings, reply: wanted.reply, cpus, producer_cpus, peers, delay: self.delay };
        let thread = std::thread::Builder::new()
            .name("rtt-loop".into())
            .spawn(move || run_loop(setup, &made, &started))
            .map_err(|error| format!("no thread for the loop: {error}"))?;
        match make.recv() {
            Ok(Ok((ready, segments, reply_segments))) => {
                Ok((ready, Configured { segments, reply_segments, start, thread }))
            }
            Ok(Err(reason)) => Err(reason),
            Err(_) => Err("the loop's thread ended while it was set up".into()),
        }
    }
}

/// What a loop's thread is given.
struct Setup {
    knobs: Knobs,
    rings: u32,
    reply: bool,
    cpus: CpuSet,
    producer_cpus: CpuSet,
    peers: Vec<Option<OwnedFd>>,
    delay: Nanos,
}

type Made = Result<(Ready, Vec<Segment>, Vec<Segment>), String>;

/// What is made on the loop's thread before it reports ready.
struct Rings {
    segments: Vec<Segment>,
    reply_segments: Vec<Segment>,
    consumers: Vec<Consumer>,
    replies: Vec<Producer>,
}

fn run_loop(
    setup: Setup,
    made: &mpsc::Sender<Made>,
    started: &mpsc::Receiver<(Nanos, Nanos)>,
) -> (LoopReport, Vec<Counter>) {
    let nothing = || {
        let end = LoopEnd::Failed("the client went away before the start".into());
        (LoopReport::empty(end), Vec::new())
    };
    let (ready, segments, reply_segments, message_loop) = match prepare(setup) {
        Ok(prepared) => prepared,
        Err(reason) => {
            let _ = made.send(Err(reason)); // The control side waits for exactly this.
            return nothing();
        }
    };
    if made.send(Ok((ready, segments, reply_segments))).is_err() {
        return nothing();
    }
    let Ok((start, length)) = started.recv() else { return nothing() };
    // A nap of a batch window must not be stretched by the kernel's 50 us of slack; where it is refused, it is.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let mut counters = Counters::open_thread();
    let report = message_loop.run(start, length);
    let readings = counters.read().into_iter().map(|reading| {
        let (value, absent) = match reading.value {
            Ok(value) => (Some(value), None),
            Err(absent) => (None, Some(absent.to_string())),
        };
        Counter { name: reading.name.into(), value, absent, note: reading.note.map(|note| note.to_string()) }
    });
    (report, readings.collect())
}

type Prepared = (Ready, Vec<Segment>, Vec<Segment>, MessageLoop);

/// ENDPOINT-5: pins the thread, makes and attaches the rings and the loop over them, and reads back what came of it.
fn prepare(setup: Setup) -> Result<Prepared, String> {
    let pinned = pin_thread(&setup.cpus).map_err(|error| error.to_string())?;
    let capacity = RingCapacity::new(setup.knobs.ring_bytes).expect("checked knobs hold a ring's capacity");
    let pages = if setup.knobs.huge_pages { Pages::Huge } else { Pages::Small };
    let config = RingConfig { capacity, pages, epoch: 1 };
    let mut peers = setup.peers.into_iter();
    let mut rings =
        Rings { segments: Vec::new(), reply_segments: Vec::new(), consumers: Vec::new(), replies: Vec::new() };
    let segment = || Segment::create(&config).map_err(|error| in_full(&error));
    for _ in 0..setup.rings {
        let data = segment()?;
        let fds = data.consumer_fds().map_err(|error| in_full(&error))?;
        rings.consumers.push(Consumer::attach(fds, peers.next().flatten()).map_err(|error| in_full(&error))?);
        rings.segments.push(data);
        if setup.reply {
            let back = segment()?;
            let fds = back.producer_fds().map_err(|error| in_full(&error))?;
            rings.replies.push(Producer::attach(fds, peers.next().flatten()).map_err(|error| in_full(&error))?);
            rings.reply_segments.push(back);
        }
    }
    let Rings { segments, reply_segments, consumers, replies } = rings;
    let smallest_page = segments.iter().chain(&reply_segments).map(|segment| segment.page_bytes().0).min();
    let page_bytes = smallest_page.unwrap_or(0);
    let capacity = consumers.first().map_or(0, |ring| ring.capacity().bytes().0);
    let message_loop = MessageLoop::new(consumers, replies, &setup.knobs).delayed_by(setup.delay);
    let knobs = Knobs {
        ring_bytes: capacity,
        huge_pages: page_bytes > rustix::param::page_size() as u64,
        pin: setup.knobs.pin, // What it came to is `cpus`.
        ..message_loop.settings()
    };
    let ready = Ready {
        knobs,
        cpus: pinned.to_string(),
        producer_cpus: setup.producer_cpus.to_string(),
        page_bytes,
        ring_bytes_total: (segments.len() + reply_segments.len()) as u64 * capacity,
    };
    Ok((ready, segments, reply_segments, message_loop))
}

/// The loop's CPUs and the sender's: as the client says, else by the pin class on this host's topology.
fn place(knobs: &Knobs, wanted: &Configure) -> Result<(CpuSet, CpuSet), String> {
    let allowed = allowed_cpus();
    if let Some(list) = &wanted.cpus {
        let cpus: CpuSet = list.parse().map_err(|error| format!("cpus: {error}"))?;
        return Ok((cpus, allowed));
    }
    if knobs.pin == Pin::Unpinned {
        return Ok((allowed.clone(), allowed));
    }
    let topology = topology().map_err(|error| in_full(&error))?;
    // As the lab places by default, so that a profile runs where it was measured.
    let allowed = allowance(&topology.isolated(), None).map_err(|error| error.to_string())?;
    let placed = topology.place(knobs.pin, &allowed, wanted.rings as usize).map_err(|error| error.to_string())?;
    Ok((placed.consumer, placed.producer))
}

fn attach(configured: Option<&Configured>, ring: u32, side: End) -> Result<RingFds, String> {
    let made = configured.ok_or("not configured")?;
    let (segments, fds): (_, fn(&Segment) -> _) = match side {
        End::Producer => (&made.segments, Segment::producer_fds),
        End::Replies => (&made.reply_segments, Segment::consumer_fds),
    };
    let segment = segments.get(ring as usize);
    let segment = segment.ok_or_else(|| format!("ring {ring} of {} does not exist", segments.len()))?;
    fds(segment).map_err(|error| in_full(&error))
}

fn finish(made: Configured) -> Answer {
    let Configured { segments, reply_segments, start, thread } = made;
    drop(start); // A loop that was never started ends here.
    let joined = thread.join();
    drop((segments, reply_segments));
    let Ok((report, counters)) = joined else { return Answer::Error("the loop panicked".into()) };
    let end = match report.end {
        LoopEnd::Closed => "closed".into(),
        LoopEnd::PeerGone => "the sender died".into(),
        LoopEnd::Failed(reason) => reason,
    };
    let encode = |sliced: &SlicedHistogram| sliced.slices().map(|slice| encode_histogram(&slice)).collect();
    Answer::Report(Box::new(Report {
        end,
        handled: report.counts.handled,
        lost: report.counts.lost,
        last_handled_ns: report.last_handled.0,
        cpu_ns: report.cpu.0,
        wall_ns: report.wall.0,
        counts: report.counts.by_name().into_iter().map(|(name, count)| (name.to_string(), count)).collect(),
        counters,
        latencies: encode(&report.latencies),
        lag_free: encode(&report.lag_free),
    }))
}

/// The process at the other end of `socket`, by the kernel's word; `None` where it cannot be named, in which case its
/// death shows by the socket alone.
fn peer_pidfd(socket: &UnixStream) -> Option<OwnedFd> {
    let credentials = rustix::net::sockopt::socket_peercred(socket).ok()?;
    rustix::process::pidfd_open(credentials.pid, rustix::process::PidfdFlags::empty()).ok()
}

/// Why a client could not do what it asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket failed or the endpoint is gone.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The endpoint refused.
    #[error("the endpoint refused: {0}")]
    Refused(String),
    /// The endpoint answered something else.
    #[error("the endpoint answered {found}, expected {expected}")]
    Unexpected {
        /// What came.
        found: String,
        /// What was asked for.
        expected: &'static str,
    },
    /// It does not read a knob that matters.
    #[error("the endpoint does not read the knob {knob}, which is {held}: only its neutral value can be left out")]
    Unread {
        /// The knob.
        knob: &'static str,
        /// What it holds.
        held: String,
    },
    /// Descriptors did not come.
    #[error("the endpoint handed out no ring")]
    Handover(#[from] rtt_ring::HandoverError),
    /// What came is no ring.
    #[error("the endpoint handed out a ring that cannot be attached")]
    Attach(#[from] rtt_ring::AttachError),
}

/// The client's side of the control protocol.
#[derive(Debug)]
pub struct Client {
    lines: Lines,
    /// The knobs that the endpoint reads, once it said so.
    reads: Option<Vec<String>>,
}

impl Client {
    /// Speaks to the endpoint at the other end of `socket`.
    pub fn new(socket: UnixStream) -> Client {
        Client { lines: Lines::new(socket), reads: None }
    }

    fn ask(&mut self, request: &Request) -> Result<Answer, ClientError> {
        self.lines.send(request)?;
        match self.lines.receive()? {
            Answer::Error(reason) => Err(ClientError::Refused(reason)),
            answer => Ok(answer),
        }
    }

    /// Meets the endpoint.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names both versions when they differ.
    pub fn hello(&mut self) -> Result<HelloAnswer, ClientError> {
        match self.ask(&Request::Hello { version: VERSION })? {
            Answer::Hello(hello) => {
                self.reads = Some(hello.knobs.clone());
                Ok(hello)
            }
            other => Err(unexpected(&other, "hello")),
        }
    }

    /// Sets a run up. A knob that the endpoint does not read (an older build) is left out where it holds the value that
    /// means as much as its absence, and told back as that.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the endpoint's reason; [`ClientError::Unread`] names a knob that cannot be left out.
    pub fn configure(&mut self, configure: &Configure) -> Result<Ready, ClientError> {
        let reads = self.reads.clone().unwrap_or_else(|| KNOB_NAMES.map(String::from).to_vec());
        let unread = || KNOB_NAMES.into_iter().filter(|name| !reads.iter().any(|read| read == name));
        let mut request = serde_json::to_value(configure).map_err(LineError::from)?;
        if let Some(knobs) = request.get_mut("knobs").and_then(serde_json::Value::as_object_mut) {
            for knob in unread() {
                let held = knobs.remove(knob);
                if held != Knobs::neutral(knob) {
                    let held = held.unwrap_or_default().to_string();
                    return Err(ClientError::Unread { knob, held });
                }
            }
        }
        self.lines.send(&serde_json::json!({ "configure": request }))?;
        let mut answer: serde_json::Value = self.lines.receive()?;
        if let Some(knobs) = answer.pointer_mut("/ready/knobs").and_then(serde_json::Value::as_object_mut) {
            knobs.extend(unread().filter_map(|knob| Some((knob.to_string(), Knobs::neutral(knob)?))));
        }
        match serde_json::from_value(answer).map_err(LineError::from)? {
            Answer::Ready(ready) => Ok(ready),
            Answer::Error(reason) => Err(ClientError::Refused(reason)),
            other => Err(unexpected(&other, "ready")),
        }
    }

    /// Attaches as the sender of `ring`; `endpoint` is the endpoint's pidfd.
    ///
    /// # Errors
    /// [`ClientError`] when the ring is not handed out or cannot be attached.
    pub fn attach_producer(&mut self, ring: u32, endpoint: Option<OwnedFd>) -> Result<Producer, ClientError> {
        Ok(Producer::attach(self.receive(ring, End::Producer)?, endpoint)?)
    }

    /// Attaches as the receiver of the replies of `ring`.
    ///
    /// # Errors
    /// [`ClientError`] when the ring is not handed out or cannot be attached.
    pub fn attach_replies(&mut self, ring: u32, endpoint: Option<OwnedFd>) -> Result<Consumer, ClientError> {
        Ok(Consumer::attach(self.receive(ring, End::Replies)?, endpoint)?)
    }

    fn receive(&mut self, ring: u32, side: End) -> Result<RingFds, ClientError> {
        self.lines.send(&Request::Attach { ring, side })?;
        Ok(RingFds::receive(self.lines.socket()?)?)
    }

    /// Starts the loop for a run whose first message is due at `at` and whose last by `at + length`.
    ///
    /// # Errors
    /// [`ClientError`] when it cannot start.
    pub fn start(&mut self, at: Nanos, length: Nanos) -> Result<(), ClientError> {
        match self.ask(&Request::Start { at_ns: at.0, length_ns: length.0 })? {
            Answer::Started {} => Ok(()),
            other => Err(unexpected(&other, "started")),
        }
    }

    /// Waits for the loop's end and takes its report. Close the senders first.
    ///
    /// # Errors
    /// [`ClientError`] when the endpoint died.
    pub fn finish(&mut self) -> Result<Report, ClientError> {
        match self.ask(&Request::Finish {})? {
            Answer::Report(report) => Ok(*report),
            other => Err(unexpected(&other, "report")),
        }
    }
}

fn unexpected(found: &Answer, expected: &'static str) -> ClientError {
    let found = match found {
        Answer::Hello(_) => "hello",
        Answer::Ready(_) => "ready",
        Answer::Started {} => "started",
        Answer::Report(_) => "report",
        Answer::Error(_) => "error",
    };
    ClientError::Unexpected { found: found.into(), expected }
}
