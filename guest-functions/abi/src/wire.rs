//! The worker protocol: frames over a stream socket.
//!
//! A frame is a header of twelve bytes (magic, kind, length of the body; little-endian
//! `u32`s) and a body. A worker connects, sends one [`Kind::Hello`], then answers each
//! [`Kind::Request`], and what else it is asked, with one frame, until the other side closes. A small frame takes one
//! system call to send and one to receive.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// The length of a header in bytes.
pub const HEADER_BYTES: usize = 12;
/// No body is longer: a larger length is garbage.
pub const MAX_BODY_BYTES: usize = 1 << 30;
/// A body up to this length is copied next to its header.
const SHORT_BODY_BYTES: usize = 244;
const MAGIC: [u8; 4] = *b"LUM1";

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// The function's answer.
    Response = 0,
    /// The function refused the request; the body is its message, and the worker lives on.
    Refusal = 1,
    /// The worker is ready; the body holds its phases, a line each: name, space, the
    /// monotonic clock in nanoseconds at the phase's end.
    Hello = 2,
    /// A request to the function.
    Request = 3,
    /// The worker cannot go on; the body is the reason, and the worker ends.
    Fault = 4,
    /// A request that is answered with its timings: [`Kind::TimedResponse`].
    TimedRequest = 5,
    /// The layout of [`Timings`](crate::Timings), then the function's answer.
    TimedResponse = 6,
    /// Asks what one reading of the function's clock takes; the answer is of the same kind, and
    /// its body the picoseconds as a little-endian `u64`.
    ClockCost = 7,
}

impl Kind {
    fn from_code(code: u32) -> Option<Self> {
        [
            Self::Response,
            Self::Refusal,
            Self::Hello,
            Self::Request,
            Self::Fault,
            Self::TimedRequest,
            Self::TimedResponse,
            Self::ClockCost,
        ]
        .into_iter()
        .find(|kind| *kind as u32 == code)
    }
}

/// Makes a header.
pub fn header(kind: Kind, body_bytes: usize) -> io::Result<[u8; HEADER_BYTES]> {
    if body_bytes > MAX_BODY_BYTES {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            format!("a frame of {body_bytes} bytes: at most {MAX_BODY_BYTES} can be sent"),
        ));
    }
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&(kind as u32).to_le_bytes());
    // The length fits: MAX_BODY_BYTES is below 2^32.
    header[8..].copy_from_slice(&(body_bytes as u32).to_le_bytes());
    Ok(header)
}

/// Reads a header: the kind, and the length of the body.
fn parse(header: &[u8; HEADER_BYTES]) -> io::Result<(Kind, usize)> {
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (kind, length) = (Kind::from_code(word(4)), word(8) as usize);
    match kind {
        Some(kind) if header[..4] == MAGIC && length <= MAX_BODY_BYTES => Ok((kind, length)),
        _ => Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("garbage on the socket: {header:02x?} is no frame's header"),
        )),
    }
}

/// Sends a frame whose body lies elsewhere.
pub fn send(stream: &mut UnixStream, kind: Kind, body: &[u8]) -> io::Result<()> {
    let header = header(kind, body.len())?;
    // The kernel takes one short part faster than two.
    let mut frame = [0; HEADER_BYTES + SHORT_BODY_BYTES];
    if let Some(room) = frame[HEADER_BYTES..].get_mut(..body.len()) {
        room.copy_from_slice(body);
        frame[..HEADER_BYTES].copy_from_slice(&header);
        return stream.write_all(&frame[..HEADER_BYTES + body.len()]);
    }
    let sent = stream.write_vectored(&[IoSlice::new(&header), IoSlice::new(body)])?;
    if sent < HEADER_BYTES {
        stream.write_all(&header[sent..])?;
        return stream.write_all(body);
    }
    stream.write_all(&body[sent - HEADER_BYTES..])
}

/// Receives a frame; its body replaces the contents of `body`.
///
/// # Errors
/// `UnexpectedEof` when the other side has closed, `InvalidData` when what arrives is no
/// frame, and those of the socket, such as `WouldBlock` after its read time-out.
pub fn receive(stream: &mut UnixStream, body: &mut Vec<u8>) -> io::Result<Kind> {
    body.clear();
    body.reserve(1);
    let mut header = [0; HEADER_BYTES];
    let mut filled = read_both(stream, &mut header, body)?;
    while filled < HEADER_BYTES {
        match stream.read(&mut header[filled..])? {
            0 => return Err(closed(filled)),
            count => filled += count,
        }
    }
    let (kind, length) = parse(&header)?;
    if body.len() > length {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "garbage on the socket: more bytes than the frame's header announced",
        ));
    }
    let missing = length - body.len();
    if missing > 0 {
        body.reserve_exact(missing);
        let received = stream.take(missing as u64).read_to_end(body)?;
        if received < missing {
            return Err(closed(HEADER_BYTES + body.len()));
        }
    }
    Ok(kind)
}

fn closed(received: usize) -> io::Error {
    let message = match received {
        0 => "the other side closed the socket".to_owned(),
        _ => format!("the other side closed the socket after {received} bytes of a frame"),
    };
    io::Error::new(ErrorKind::UnexpectedEof, message)
}

/// One system call into a header and the spare room of `body`; returns how much of the
/// header was filled.
fn read_both(
    stream: &UnixStream,
    header: &mut [u8; HEADER_BYTES],
    body: &mut Vec<u8>,
) -> io::Result<usize> {
    let spare = body.spare_capacity_mut();
    let parts = [
        libc::iovec { iov_base: header.as_mut_ptr().cast(), iov_len: HEADER_BYTES },
        libc::iovec { iov_base: spare.as_mut_ptr().cast(), iov_len: spare.len() },
    ];
    loop {
        // SAFETY: both parts are writable for their lengths while the call lasts.
        let count = unsafe { libc::readv(stream.as_raw_fd(), parts.as_ptr(), 2) };
        if let Ok(count) = usize::try_from(count) {
            if count == 0 {
                return Err(closed(0));
            }
            let filled = count.min(HEADER_BYTES);
            // SAFETY: the kernel wrote that many bytes into the spare room.
            unsafe { body.set_len(body.len() + count - filled) };
            return Ok(filled);
        }
        let error = io::Error::last_os_error();
        if error.kind() != ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
    }

    #[test]
    fn frames_of_every_size_arrive() {
        let (mut left, mut right) = pair();
        let bodies: Vec<Vec<u8>> =
            [0, 1, 12, 4096, 3 << 20].iter().map(|&n| (0..n).map(|i| i as u8).collect()).collect();
        let sent = bodies.clone();
        let sender = std::thread::spawn(move || {
            for body in &sent {
                send(&mut left, Kind::Request, body).unwrap();
                // An answer in between, as the protocol has it: frames never queue up.
                receive(&mut left, &mut Vec::new()).unwrap();
            }
        });
        let mut body = Vec::new();
        for expected in &bodies {
            assert_eq!(receive(&mut right, &mut body).unwrap(), Kind::Request);
            assert!(body == *expected);
            send(&mut right, Kind::Response, b"").unwrap();
        }
        sender.join().unwrap();
        let error = receive(&mut right, &mut body).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_frame_that_arrives_byte_by_byte_is_put_together() {
        let (mut left, mut right) = pair();
        let sender = std::thread::spawn(move || {
            let frame = [&header(Kind::Response, 3).unwrap()[..], b"abc"].concat();
            for byte in frame {
                left.write_all(&[byte]).unwrap();
                std::thread::yield_now();
            }
        });
        let mut body = Vec::new();
        assert_eq!(receive(&mut right, &mut body).unwrap(), Kind::Response);
        assert_eq!(body, b"abc");
        sender.join().unwrap();
    }

    #[test]
    fn garbage_is_named() {
        for garbage in [&b"HTTP/1.1 200 OK\r\n"[..], &[0xff; 64], &[0; 12]] {
            let (mut left, mut right) = pair();
            left.write_all(garbage).unwrap();
            let error = receive(&mut right, &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(error.to_string().contains("garbage on the socket"), "{error}");
        }
    }

    #[test]
    fn more_than_announced_is_garbage() {
        let (mut left, mut right) = pair();
        let frame = [&header(Kind::Response, 1).unwrap()[..], b"abc"].concat();
        left.write_all(&frame).unwrap();
        let mut body = Vec::with_capacity(16);
        let error = receive(&mut right, &mut body).unwrap_err();
        assert!(error.to_string().contains("more bytes"), "{error}");
    }

    #[test]
    fn a_frame_cut_short_says_so() {
        let (mut left, mut right) = pair();
        left.write_all(&header(Kind::Response, 10).unwrap()).unwrap();
        left.write_all(b"abc").unwrap();
        drop(left);
        let error = receive(&mut right, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("after 15 bytes"), "{error}");
    }
}
