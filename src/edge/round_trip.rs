//! Dials this device as the service would, and waits for the token that only
//! this device can say.
//!
//! ```text
//!  name ─▶ connect ─▶ TLS ─▶ WebSocket upgrade ─▶ token
//! ```
//!
//! For `callbox doctor`: real name server, real TCP, real TLS with the public
//! authorities (and the configured one), so what fails here fails for the
//! service too. Each leg has [`LEG`]; what goes wrong names its leg.
//!
//! The one thing it cannot show is a router that does not lead a device back
//! to its own public address, while it lets the service in.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use super::rest;
use crate::wire::rest::WsUrl;

/// All the time one leg has. The service waits longer; a leg that needs more
/// than this costs the first words of a call.
pub const LEG: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried.
const ADDRESSES: usize = 4;
/// The answer is a token of 32 bytes; whoever sends more is not this device.
const ANSWER_MAX: usize = 1024;

/// Which way to go.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// The public URL.
    pub url: &'a WsUrl,
    /// Goes straight to this address, past the name server and whatever
    /// forwards to this device. `None`: as the service does.
    pub at: Option<SocketAddr>,
    /// Without TLS, whatever the URL says: for the way behind a proxy.
    pub plain: bool,
    /// One more certificate authority to trust, PEM.
    pub extra_ca: Option<&'a Path>,
}

/// A way that leads here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trip {
    /// Where it led.
    pub address: SocketAddr,
    /// From asking for the name to the token.
    pub took: Duration,
}

/// The leg that failed, and how.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The URL's host has no address.
    #[error("the name {host} is not found ({why})")]
    Name {
        /// The name.
        host: String,
        /// What the resolver says.
        why: io::Error,
    },
    /// None of its addresses takes a connection; this is the last one's word.
    #[error("{address} takes no connection ({why})")]
    Connect {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        why: io::Error,
    },
    /// What answers is not trusted, or speaks no TLS.
    #[error("TLS with {host} fails: {why}")]
    Tls {
        /// The name.
        host: String,
        /// What rustls says.
        why: String,
    },
    /// HTTP, but no WebSocket.
    #[error("{host} answers with status {status} where a WebSocket should open")]
    Status {
        /// The name.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// Neither.
    #[error("{host} does not open a WebSocket ({why})")]
    NotWebSocket {
        /// The name.
        host: String,
        /// What is wrong with its answer.
        why: String,
    },
    /// A WebSocket that does not know the token.
    #[error("a WebSocket opens at {host}, but it is not this device's")]
    Stranger {
        /// The name.
        host: String,
    },
    /// The extra certificate authority is of no use.
    #[error(transparent)]
    Authorities(#[from] rest::SetupError),
}

/// Goes the way once. `path` and `token` are those of a probe that is open.
///
/// # Errors
/// Names the leg that failed.
pub async fn round_trip(route: Route<'_>, path: &str, token: &str) -> Result<Trip, Broken> {
    let begun = Instant::now();
    let url = format!("{}{path}", route.url.as_str());
    let (request, target) = Target::of(&url)?;
    let (socket, address) = match route.at {
        Some(address) => (connect(address).await?, address),
        None => target.connect().await?,
    };
    if target.tls && !route.plain {
        let stream = target.secure(socket, route.extra_ca).await?;
        target.ask(stream, request, token).await?;
    } else {
        target.ask(socket, request, token).await?;
    }
    Ok(Trip {
        address,
        took: begun.elapsed(),
    })
}

/// What the URL names.
struct Target {
    host: String,
    port: u16,
    tls: bool,
}

impl Target {
    fn of(url: &str) -> Result<(Request, Self), Broken> {
        let wrong = |why: &dyn std::fmt::Display| Broken::NotWebSocket {
            host: "the public URL".to_owned(),
            why: why.to_string(),
        };
        let request = url.into_client_request().map_err(|e| wrong(&e))?;
        let uri = request.uri();
        let host = uri.host().ok_or_else(|| wrong(&"it has no host"))?;
        let tls = uri.scheme_str() == Some("wss");
        let target = Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
        };
        Ok((request, target))
    }

    async fn connect(&self) -> Result<(TcpStream, SocketAddr), Broken> {
        let name = |why| Broken::Name {
            host: self.host.clone(),
            why,
        };
        let found = tokio::net::lookup_host((self.host.as_str(), self.port));
        let addresses = in_time(found).await.map_err(name)?;
        let mut last = name(io::Error::other("it has no address"));
        for address in addresses.take(ADDRESSES) {
            match connect(address).await {
                Ok(socket) => return Ok((socket, address)),
                Err(broken) => last = broken,
            }
        }
        Err(last)
    }

    async fn secure(
        &self,
        socket: TcpStream,
        extra_ca: Option<&Path>,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, Broken> {
        let broken = |why: String| Broken::Tls {
            host: self.host.clone(),
            why,
        };
        let name = ServerName::try_from(self.host.clone()).map_err(|e| broken(e.to_string()))?;
        let connector = TlsConnector::from(Arc::new(rest::tls_config(extra_ca)?));
        in_time(connector.connect(name, socket))
            .await
            .map_err(|error| broken(error.to_string()))
    }

    async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        request: Request,
        token: &str,
    ) -> Result<(), Broken> {
        let host = || self.host.clone();
        let limits = WebSocketConfig::default()
            .max_message_size(Some(ANSWER_MAX))
            .max_frame_size(Some(ANSWER_MAX));
        let opened = timeout(LEG, client_async_with_config(request, stream, Some(limits)));
        let mut socket = match opened.await {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(tungstenite::Error::Http(answer))) => {
                return Err(Broken::Status {
                    host: host(),
                    status: answer.status().as_u16(),
                });
            }
            Ok(Err(error)) => {
                return Err(Broken::NotWebSocket {
                    host: host(),
                    why: error.to_string(),
                });
            }
            Err(_) => {
                return Err(Broken::NotWebSocket {
                    host: host(),
                    why: late().to_string(),
                });
            }
        };
        match timeout(LEG, socket.next()).await {
            Ok(Some(Ok(Message::Text(said)))) if said.as_str() == token => Ok(()),
            _ => Err(Broken::Stranger { host: host() }),
        }
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Broken> {
    in_time(TcpStream::connect(address))
        .await
        .map_err(|why| Broken::Connect { address, why })
}

async fn in_time<T>(leg: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(LEG, leg).await.unwrap_or_else(|_| Err(late()))
}

fn late() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("no answer within {} s", LEG.as_secs()),
    )
}
