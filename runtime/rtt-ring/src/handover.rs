//! Passing a side's descriptors to another process: over a Unix socket, or by inheritance.
//!
//! The socket message is one byte, [`TAG`], with the control and data descriptors as `SCM_RIGHTS`, in
//! this order. What arrives is checked when a side attaches, so nothing here trusts the sender.
#![allow(unsafe_code)] // Naming an inherited descriptor by its number is unsafe by the standard library's rules.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::cmsg_space;
use rustix::io::FdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use crate::segment::RingFds;

/// The byte that accompanies the descriptors.
pub const TAG: u8 = b'R';

/// Why descriptors did not change hands.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The socket failed.
    #[error("ring descriptors: {step} failed")]
    Socket {
        /// The call that failed.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The other end sent something else.
    #[error("ring descriptors: received {bytes} bytes and {descriptors} descriptors, expected the byte `R` and 2")]
    Message {
        /// Bytes received.
        bytes: usize,
        /// Descriptors received.
        descriptors: usize,
    },
    /// The number is no open descriptor of this process.
    #[error("ring descriptor {fd}: not open, expected it to be inherited from the spawner")]
    NotInherited {
        /// The number.
        fd: RawFd,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl RingFds {
    /// Sends copies of the descriptors over `socket`.
    ///
    /// # Errors
    /// [`HandoverError::Socket`] when the socket is closed or full.
    pub fn send(&self, socket: &UnixStream) -> Result<(), HandoverError> {
        let fds = [self.control.as_fd(), self.data.as_fd()];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fits = ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        assert!(fits, "the buffer is made for two descriptors");
        sendmsg(socket, &[IoSlice::new(&[TAG])], &mut ancillary, SendFlags::NOSIGNAL)
            .map(|_| ())
            .map_err(|errno| HandoverError::Socket { step: "sendmsg", source: errno.into() })
    }

    /// Receives descriptors from `socket`, close-on-exec.
    ///
    /// # Errors
    /// [`HandoverError::Socket`] when the socket fails; [`HandoverError::Message`] when the other end sent
    /// something else, whose descriptors are closed.
    pub fn receive(socket: &UnixStream) -> Result<RingFds, HandoverError> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(2))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut tag = [0_u8];
        let message = recvmsg(socket, &mut [IoSliceMut::new(&mut tag)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
            .map_err(|errno| HandoverError::Socket { step: "recvmsg", source: errno.into() })?;
        let mut fds: Vec<OwnedFd> = Vec::with_capacity(2);
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = part {
                fds.extend(received);
            }
        }
        let descriptors = fds.len();
        match (<[OwnedFd; 2]>::try_from(fds), message.bytes, tag) {
            (Ok([control, data]), 1, [TAG]) => Ok(RingFds { control, data }),
            (_, bytes, _) => Err(HandoverError::Message { bytes, descriptors }),
        }
    }

    /// Lets a child inherit the descriptors at its next `exec`; their numbers, control first. The caller
    /// tells the child the numbers and keeps `self` until it has been spawned.
    ///
    /// # Errors
    /// [`HandoverError::Socket`] when the kernel refuses to change the flag.
    pub fn inheritable(&self) -> Result<[RawFd; 2], HandoverError> {
        for fd in [&self.control, &self.data] {
            rustix::io::fcntl_setfd(fd, FdFlags::empty())
                .map_err(|errno| HandoverError::Socket { step: "F_SETFD", source: errno.into() })?;
        }
        Ok([self.control.as_raw_fd(), self.data.as_raw_fd()])
    }

    /// Takes copies of descriptors that this process inherited under these numbers. The originals stay
    /// open, close-on-exec from now on: who owns them is not ours to say.
    ///
    /// # Errors
    /// [`HandoverError::NotInherited`] when a number is not open.
    pub fn inherited(control: RawFd, data: RawFd) -> Result<RingFds, HandoverError> {
        let copy = |fd: RawFd| {
            let missing = |errno: rustix::io::Errno| HandoverError::NotInherited { fd, source: errno.into() };
            if fd < 0 {
                return Err(missing(rustix::io::Errno::BADF));
            }
            // SAFETY: the number is only named to the kernel, which answers EBADF when it is not open;
            // it is neither read, written nor closed. -1, the one invalid value, was refused.
            let original = unsafe { BorrowedFd::borrow_raw(fd) };
            rustix::io::fcntl_setfd(original, FdFlags::CLOEXEC).map_err(missing)?;
            rustix::io::fcntl_dupfd_cloexec(original, 3).map_err(missing)
        };
        Ok(RingFds { control: copy(control)?, data: copy(data)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn other_messages_are_refused() {
        let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.write_all(b"R").expect("a byte");
        let refused = RingFds::receive(&theirs).expect_err("no descriptors");
        assert!(matches!(refused, HandoverError::Message { bytes: 1, descriptors: 0 }), "{refused}");
        drop(ours);
        let ended = RingFds::receive(&theirs).expect_err("closed");
        assert!(matches!(ended, HandoverError::Message { bytes: 0, descriptors: 0 }), "{ended}");
    }

    #[test]
    fn numbers_that_are_not_open_are_refused() {
        for fd in [-1, i32::MAX] {
            let refused = RingFds::inherited(fd, fd).expect_err("not open");
            assert!(matches!(refused, HandoverError::NotInherited { .. }), "{refused}");
        }
    }
}
