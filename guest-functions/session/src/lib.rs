//! Reads a user's session, changes it and writes it back: what most web services do first.

use std::io::Write;

use lumos_abi::{Error, Function};

/// The function. It takes a line `key=<key>` and a line `page=<page>`, enters the page into the
/// session that is stored under the key, and gives a line of JSON:
/// `{"page":"/cart","bytes":1024,"checksum":...}`.
///
/// A session is a text whose first line is `page=<page>`; the rest is what the service keeps of
/// its user, and stays. So a request that comes again changes nothing, and has the same answer.
#[derive(Debug)]
pub struct Session;

lumos_abi::export!(crate::Session);

/// The longest page in bytes.
pub const LONGEST_PAGE_BYTES: usize = 256;

/// A request that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit<'r> {
    /// Whose session it is.
    pub key: &'r str,
    /// The page that the user visits.
    pub page: &'r str,
}

/// A session as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written<'r> {
    /// The page that it holds.
    pub page: &'r str,
    /// Its length in bytes.
    pub bytes: usize,
    /// A hash of its bytes, modulo 2^64.
    pub checksum: u64,
}

impl Function for Session {
    type Input<'r> = Visit<'r>;
    type Output<'r> = Written<'r>;

    fn decode(request: &[u8]) -> Result<Visit<'_>, Error> {
        let text = str::from_utf8(request).map_err(|_| Error::new("the request is not text"))?;
        let mut lines = text.lines();
        let mut field = |name: &str| {
            let line = lines.next().unwrap_or_default();
            line.strip_prefix(name)
                .ok_or_else(|| Error(format!("the request has no line `{name}...` in its place")))
        };
        let visit = Visit { key: field("key=")?, page: field("page=")? };
        if visit.page.len() > LONGEST_PAGE_BYTES {
            return Err(Error(format!("the page is longer than {LONGEST_PAGE_BYTES} bytes")));
        }
        if !visit.page.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::new("the page has other characters than printable ASCII ones"));
        }
        Ok(visit)
    }

    fn compute(Visit { key, page }: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        let session =
            lumos_state::get(key)?.ok_or_else(|| Error(format!("there is no session `{key}`")))?;
        let session = enter(&session, page)?;
        lumos_state::put(key, &session)?;
        Ok(Written { page, bytes: session.len(), checksum: checksum(&session) })
    }

    fn encode(written: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        let Written { page, bytes, checksum } = written;
        // Printable ASCII is quoted in Rust as it is in JSON.
        writeln!(response, r#"{{"page":{page:?},"bytes":{bytes},"checksum":{checksum}}}"#)
            .map_err(Error::new)
    }
}

/// A session with another page.
fn enter(session: &[u8], page: &str) -> Result<Vec<u8>, Error> {
    let end = session.iter().position(|byte| *byte == b'\n').unwrap_or(session.len());
    let (first, rest) = session.split_at(end);
    if !first.starts_with(b"page=") {
        return Err(Error::new("what is stored under the key is no session"));
    }
    Ok([b"page=", page.as_bytes(), rest].concat())
}

/// FNV-1a over 64-bit words, as a service would notice a damaged session by.
fn checksum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let rest = rest.iter().map(|byte| u64::from(*byte));
    words
        .chain(rest)
        .fold(0xcbf2_9ce4_8422_2325, |hash, word| (hash ^ word).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_changes_and_the_rest_stays() {
        let session = enter(b"page=/\nuser=1\ncart=2", "/cart").unwrap();
        assert_eq!(session, b"page=/cart\nuser=1\ncart=2");
        assert_eq!(enter(&session, "/cart").unwrap(), session);
        assert_eq!(enter(b"page=/", "/x").unwrap(), b"page=/x");
        let message = enter(b"something else", "/").unwrap_err().0;
        assert_eq!(message, "what is stored under the key is no session");
    }

    #[test]
    fn the_request_has_two_lines() {
        let visit = Session::decode(b"key=u1\npage=/cart\n").unwrap();
        assert_eq!(visit, Visit { key: "u1", page: "/cart" });
        for (request, message) in [
            (&b""[..], "the request has no line `key=...` in its place"),
            (b"key=u1", "the request has no line `page=...` in its place"),
            (b"page=/\nkey=u1", "the request has no line `key=...` in its place"),
            (b"\xff", "the request is not text"),
        ] {
            assert_eq!(Session::decode(request).unwrap_err().0, message);
        }
        let long = format!("key=u1\npage=/{}", "x".repeat(256));
        assert!(Session::decode(long.as_bytes()).unwrap_err().0.contains("longer than 256"));
        for page in ["/\u{7f}", "/é", "/a b"] {
            let request = format!("key=u1\npage={page}");
            let message = Session::decode(request.as_bytes()).unwrap_err().0;
            assert!(message.contains("printable ASCII"), "{message}");
        }
    }

    #[test]
    fn the_response_is_a_line_of_json() {
        let mut response = Vec::new();
        let written = Written { page: "/a\"b", bytes: 3, checksum: checksum(b"abc") };
        Session::encode(written, &mut response).unwrap();
        let text = String::from_utf8(response).unwrap();
        assert_eq!(text, "{\"page\":\"/a\\\"b\",\"bytes\":3,\"checksum\":16654208175385433931}\n");
    }

    #[test]
    fn the_checksum_sees_every_byte() {
        let bytes: Vec<u8> = (0..100).collect();
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert_ne!(checksum(&other), checksum(&bytes), "{place}");
        }
    }
}
