//! A connection that can move from one runtime to another.
//!
//! The control runtime accepts it and does the TLS and WebSocket handshakes;
//! the media runtime carries the call. A tokio socket belongs to the runtime
//! that made it, and TLS holds the socket inside itself, so the socket at the
//! bottom is the part that can be taken off one runtime and put on another.
//!
//! ```text
//!  TlsStream ─▶ Line ─▶ tokio socket ──detach──▶ plain socket ──attach──▶ tokio socket
//!  (stays)     (stays)  control runtime                                  media runtime
//! ```

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A TCP socket, on a runtime or between two.
#[derive(Debug)]
pub(super) struct Line(Place);

#[derive(Debug)]
enum Place {
    On(TcpStream),
    Between(std::net::TcpStream),
    /// A move failed half-way, and the socket is closed.
    Closed,
}

impl Line {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self(Place::On(socket))
    }

    fn detach(&mut self) -> io::Result<()> {
        self.0 = match std::mem::replace(&mut self.0, Place::Closed) {
            Place::On(socket) => Place::Between(socket.into_std()?),
            other => other,
        };
        Ok(())
    }

    fn attach(&mut self) -> io::Result<()> {
        self.0 = match std::mem::replace(&mut self.0, Place::Closed) {
            Place::Between(socket) => Place::On(TcpStream::from_std(socket)?),
            other => other,
        };
        Ok(())
    }

    fn on(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match &mut self.0 {
            Place::On(socket) => Ok(Pin::new(socket)),
            Place::Between(_) | Place::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.on()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.on()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on()?.poll_shutdown(cx)
    }
}

/// A line with or without TLS on it.
#[derive(Debug)]
pub struct Stream(Kind);

#[derive(Debug)]
enum Kind {
    Plain(Line),
    Tls(Box<TlsStream<Line>>),
}

impl Stream {
    pub(super) fn plain(line: Line) -> Self {
        Self(Kind::Plain(line))
    }

    pub(super) fn tls(stream: TlsStream<Line>) -> Self {
        Self(Kind::Tls(Box::new(stream)))
    }

    fn line(&self) -> &Line {
        match &self.0 {
            Kind::Plain(line) => line,
            Kind::Tls(stream) => stream.get_ref().0,
        }
    }

    fn line_mut(&mut self) -> &mut Line {
        match &mut self.0 {
            Kind::Plain(line) => line,
            Kind::Tls(stream) => stream.get_mut().0,
        }
    }
}

/// For the socket's figures and options.
///
/// # Panics
/// When a move between runtimes has failed and the socket is closed; whoever
/// holds a [`Stream`] got it from a move that did not fail.
impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.line().0 {
            Place::On(socket) => socket.as_fd(),
            Place::Between(socket) => socket.as_fd(),
            Place::Closed => panic!("the socket was lost on its way between two runtimes"),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(line) => Pin::new(line).poll_read(cx, buffer),
            Kind::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Plain(line) => Pin::new(line).poll_write(cx, bytes),
            Kind::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(line) => Pin::new(line).poll_flush(cx),
            Kind::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(line) => Pin::new(line).poll_shutdown(cx),
            Kind::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A WebSocket after its handshake, on no runtime.
#[derive(Debug)]
pub struct Upgraded {
    stream: Stream,
    early: Vec<u8>,
}

impl Upgraded {
    /// Takes the stream off the runtime it is on. `early` are bytes that came
    /// right behind the request head.
    pub(super) fn detach(mut stream: Stream, early: Vec<u8>) -> io::Result<Self> {
        stream.line_mut().detach()?;
        Ok(Self { stream, early })
    }

    /// Puts the stream on the present runtime; gives it with the bytes that
    /// were read from it too early, which come first.
    ///
    /// # Errors
    /// The runtime cannot watch another socket.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O.
    pub fn attach(mut self) -> io::Result<(Stream, Vec<u8>)> {
        self.stream.line_mut().attach()?;
        Ok((self.stream, self.early))
    }
}
