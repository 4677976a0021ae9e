//! The standard streams of a command: bytes in memory.
//!
//! wasmer-wasix has files in memory too; asking one of those how much is left to be read leaves it
//! at its end.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use lumos_bench::engine::MOST_OUTPUT_BYTES;
use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};
use wasmer_wasix::virtual_fs::{FsError, Result, VirtualFile};

/// Bytes that are read from their beginning and written at their end; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Stream(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    read_bytes: usize,
}

impl Stream {
    /// A stream that has these bytes to be read.
    pub fn holding(bytes: &[u8]) -> Self {
        Self(Arc::new(Mutex::new(Held { bytes: bytes.to_vec(), read_bytes: 0 })))
    }

    /// Everything that was written.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.held().bytes)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // What a thread that panicked has written is still what it has written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VirtualFile for Stream {
    fn last_accessed(&self) -> u64 {
        0
    }

    fn last_modified(&self) -> u64 {
        0
    }

    fn created_time(&self) -> u64 {
        0
    }

    fn size(&self) -> u64 {
        self.held().bytes.len() as u64
    }

    fn set_len(&mut self, _bytes: u64) -> Result<()> {
        Err(FsError::PermissionDenied)
    }

    fn unlink(&mut self) -> Result<()> {
        Err(FsError::PermissionDenied)
    }

    fn poll_read_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let held = self.held();
        Poll::Ready(Ok(held.bytes.len() - held.read_bytes))
    }

    fn poll_write_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(64 << 10))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut held = self.held();
        let left = &held.bytes[held.read_bytes..];
        let count = left.len().min(into.remaining());
        into.put_slice(&left[..count]);
        held.read_bytes += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut held = self.held();
        if held.bytes.len() + bytes.len() > MOST_OUTPUT_BYTES {
            return Poll::Ready(Err(io::ErrorKind::StorageFull.into()));
        }
        held.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A stream is not sought in: it stays where it is.
impl AsyncSeek for Stream {
    fn start_seek(self: Pin<&mut Self>, _to: io::SeekFrom) -> io::Result<()> {
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(0))
    }
}
