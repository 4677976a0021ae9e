//! As much of HTTP/1.1 as a registry on the next interface needs: no TLS, no redirects, no
//! bodies of unknown length.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long the registry may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest head of an answer.
const MOST_HEAD_BYTES: u64 = 64 << 10;

/// The longest body of an answer: more than any layer has.
const MOST_BODY_BYTES: u64 = 4 << 30;

/// A connection that serves one request after the other.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    /// Its body, whole.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::with_capacity(64 << 10, stream), host: address.to_string() })
    }

    /// Sends a request, and reads the whole answer.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is none that this client understands.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let mut exchange = || -> Result<Response> {
            let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
            head += &format!("Content-Length: {}\r\n", body.len());
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            head += "\r\n";
            let stream = self.stream.get_mut();
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)?;
            read_response(&mut self.stream, method != "HEAD")
        };
        exchange().with_context(|| format!("{method} {path}"))
    }
}

impl Response {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the answer if it has a status.
    ///
    /// # Errors
    /// When it has another; the message holds what the registry says.
    pub fn expect(self, status: u16) -> Result<Self> {
        if self.status == status {
            return Ok(self);
        }
        let beginning = &self.body[..self.body.len().min(200)];
        bail!(
            "the registry answers {} instead of {status}: {}",
            self.status,
            String::from_utf8_lossy(beginning).trim()
        )
    }
}

/// Reads an answer: its head, and its body if it has one.
fn read_response(stream: &mut impl BufRead, has_body: bool) -> Result<Response> {
    let mut head = stream.by_ref().take(MOST_HEAD_BYTES);
    let mut line = || -> Result<String> {
        let mut line = String::new();
        head.read_line(&mut line)?;
        ensure!(line.ends_with('\n'), "the answer ends in the middle of its head");
        Ok(line.trim_end().to_owned())
    };
    let first = line()?;
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    let status = status.and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("`{first}` is no answer of HTTP/1.1"))?;
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').with_context(|| format!("no header: `{line}`"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    if has_body {
        let length = response.header("content-length").context("an answer without its length")?;
        let length: u64 = length.parse().with_context(|| format!("a length of `{length}`"))?;
        ensure!(length <= MOST_BODY_BYTES, "an answer of {length} bytes");
        // Never more in advance than a layer usually has, whatever the head says.
        response.body.reserve(length.min(256 << 20) as usize);
        let read = stream.take(length).read_to_end(&mut response.body)? as u64;
        ensure!(read == length, "the answer ends after {read} of {length} bytes");
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Response> {
        read_response(&mut text.as_bytes(), true)
    }

    #[test]
    fn an_answer_is_read_to_its_end_and_no_further() {
        let text = "HTTP/1.1 202 Accepted\r\nLocation: /v2/x\r\nContent-Length: 2\r\n\r\n{}HTTP";
        let mut stream = text.as_bytes();
        let response = read_response(&mut stream, true).unwrap();
        assert_eq!(response.header("location"), Some("/v2/x"));
        assert_eq!((response.body.as_slice(), stream), (&b"{}"[..], &b"HTTP"[..]));
        let error = response.expect(201).unwrap_err().to_string();
        assert_eq!(error, "the registry answers 202 instead of 201: {}");
    }

    #[test]
    fn the_head_alone_is_read_of_an_answer_without_body() {
        let mut stream = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n".as_bytes();
        assert!(read_response(&mut stream, false).unwrap().body.is_empty());
    }

    #[test]
    fn broken_answers_are_errors() {
        for (text, words) in [
            ("", "in the middle of its head"),
            ("HTTP/1.1 200 OK\r\nConte", "in the middle of its head"),
            ("SSH-2.0-server\r\n", "is no answer"),
            ("HTTP/1.1 many\r\n\r\n", "is no answer"),
            ("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "no header: `nonsense`"),
            ("HTTP/1.1 200 OK\r\n\r\n", "without its length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "a length of `-1`"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "of 99999999999 bytes"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "after 5 of 9 bytes"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(words), "{text:?}: {error}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(20_000));
        assert!(read(&endless).is_err());
    }
}
