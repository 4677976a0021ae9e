//! Compresses its request with gzip.

use std::io::Write;

use flate2::{Compression, GzBuilder};
use lumos_abi::{Error, Function};

/// The level of compression, of 9: the one that the program `gzip` has by default.
pub const LEVEL: u32 = 6;

/// What a stream says of the system that made it: nothing, so that all make the same.
const UNKNOWN_SYSTEM: u8 = 255;

/// The function. It takes any request and gives a gzip stream.
#[derive(Debug)]
pub struct Gzip;

lumos_abi::export!(crate::Gzip);

impl Function for Gzip {
    type Input<'r> = &'r [u8];
    type Output<'r> = Vec<u8>;

    fn decode(request: &[u8]) -> Result<&[u8], Error> {
        Ok(request)
    }

    fn compute(input: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        // Text shrinks to a third or less.
        let stream = Vec::with_capacity(input.len() / 2 + 64);
        let builder = GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM);
        let mut encoder = builder.write(stream, Compression::new(LEVEL));
        encoder.write_all(input).and_then(|()| encoder.finish()).map_err(Error::new)
    }

    fn encode(stream: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        response.extend_from_slice(&stream);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn answer(request: &[u8]) -> Vec<u8> {
        let mut response = Vec::new();
        lumos_abi::invoke::<Gzip>(request, &mut response).unwrap();
        response
    }

    #[test]
    fn what_is_compressed_can_be_had_back() {
        for request in [&b""[..], b"abc", &b"so it goes ".repeat(10_000), &[0xff; 100_000]] {
            let stream = answer(request);
            let mut read = Vec::new();
            flate2::read::GzDecoder::new(stream.as_slice()).read_to_end(&mut read).unwrap();
            assert_eq!(read, request);
        }
    }

    #[test]
    fn the_header_tells_of_no_time_and_no_system() {
        let stream = answer(b"abc");
        assert_eq!(stream[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, UNKNOWN_SYSTEM]);
    }

    #[test]
    fn repetition_is_found() {
        let request = b"so it goes ".repeat(10_000);
        assert!(answer(&request).len() < request.len() / 100);
    }
}
