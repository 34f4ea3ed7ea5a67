//! Opens the media WebSocket to the device, as the service does.
//!
//! Once per media leg, and again after a close with 4500. The service's
//! headers and its signature are made here; what the device answers about the
//! pipeline is read here.
//!
//! Every step has [`TIME_OUT`] together; messages of the device are bounded by
//! [`MESSAGE_MAX`].

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Uri};
use jiff::Timestamp;
use ring::hmac;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::config::ContextShape;
use super::exchange::Call;
use super::new_id;

/// For the connection, TLS and the handshake together.
const TIME_OUT: Duration = Duration::from_secs(10);
/// Largest message of the device: 30 s of L16 at 24 kHz in base64, and some.
const MESSAGE_MAX: usize = 2 << 20;
/// Receive buffer: small, so that a line that stalls is felt by the device as
/// a socket that takes no more.
const RECEIVE_BUFFER: u32 = 8 * 1024;

/// What a WebSocket runs over.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// An open media socket.
pub(super) type WebSocket = WebSocketStream<Box<dyn Transport>>;

/// An open media socket, with what the device's handshake asked for.
pub(super) struct Dialed {
    pub(super) socket: WebSocket,
    /// The service is to speak text.
    pub(super) tts: bool,
    /// The service is to send text for what it hears.
    pub(super) stt: bool,
}

/// Whom `wss://` trusts: the public authorities and those in `extra_pem`.
pub(super) fn trust(extra_pem: Option<&str>) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for certificate in CertificateDer::pem_slice_iter(extra_pem.unwrap_or_default().as_bytes()) {
        let certificate = certificate.map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The headers the service sends with a handshake for `call`.
pub(super) fn headers(
    call: &Call,
    shape: ContextShape,
    signing_key: Option<&str>,
    now: Timestamp,
) -> HeaderMap {
    let context = context(call, shape).to_string();
    let mut headers = HeaderMap::new();
    if let Some(key) = signing_key {
        let request_id = new_id();
        let timestamp = now.as_second().to_string();
        let signature = sign(key, &request_id, &timestamp, &context);
        put(&mut headers, "x-inkbox-request-id", &request_id);
        put(&mut headers, "x-inkbox-timestamp", &timestamp);
        put(&mut headers, "x-inkbox-signature", &signature);
    }
    put(&mut headers, "x-call-context", &context);
    headers
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).expect("JSON without control characters, or ASCII");
    headers.insert(HeaderName::from_static(name), value);
}

fn context(call: &Call, shape: ContextShape) -> Value {
    match shape {
        ContextShape::Older => json!({
            "call_id": call.id,
            "phone_number": call.remote,
            "direction": call.direction.as_str(),
        }),
        ContextShape::Newer => {
            let mut context = call.json();
            context["contacts"] = json!([]);
            context
        }
    }
}

/// HMAC-SHA256 over `{request_id}.{timestamp}.{context}`.
fn sign(key: &str, request_id: &str, timestamp: &str, context: &str) -> String {
    let key = key.strip_prefix("whsec_").unwrap_or(key);
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signed = hmac::sign(
        &key,
        format!("{request_id}.{timestamp}.{context}").as_bytes(),
    );
    let hex = signed.as_ref().iter().map(|byte| format!("{byte:02x}"));
    format!("sha256={}", hex.collect::<String>())
}

/// Dials `url` with these headers. The error is in words for a person.
pub(super) async fn dial(
    url: String,
    headers: HeaderMap,
    trust: Arc<ClientConfig>,
) -> Result<Dialed, String> {
    tokio::time::timeout(TIME_OUT, handshake(&url, headers, trust))
        .await
        .unwrap_or_else(|_| Err(format!("no handshake within {} s", TIME_OUT.as_secs())))
}

async fn handshake(
    url: &str,
    headers: HeaderMap,
    trust: Arc<ClientConfig>,
) -> Result<Dialed, String> {
    let uri: Uri = url.parse().map_err(|_| format!("{url:?} is not a URL"))?;
    let host = uri.host().ok_or_else(|| format!("{url:?} names no host"))?;
    let host = host.trim_matches(['[', ']']);
    let secure = uri.scheme_str() == Some("wss");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });

    let tcp = connect(host, port)
        .await
        .map_err(|error| format!("{host}:{port}: {error}"))?;
    let stream: Box<dyn Transport> = if secure {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let tls = TlsConnector::from(trust).connect(name, tcp).await;
        Box::new(tls.map_err(|error| format!("TLS: {error}"))?)
    } else {
        Box::new(tcp)
    };

    let mut request = url.into_client_request().map_err(|e| e.to_string())?;
    request.headers_mut().extend(headers);
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let (socket, response) =
        tokio_tungstenite::client_async_with_config(request, stream, Some(config))
            .await
            .map_err(|error| error.to_string())?;
    Ok(Dialed {
        socket,
        tts: asked(response.headers(), "x-use-inkbox-text-to-speech"),
        stt: asked(response.headers(), "x-use-inkbox-speech-to-text"),
    })
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in lookup_host((host, port)).await? {
        let socket = match address.ip() {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        match socket.connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Both parts of the pipeline are on unless the device says `false`.
fn asked(headers: &HeaderMap, name: &str) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.is_none_or(|value| !value.trim().eq_ignore_ascii_case("false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_openssl_makes_of_it() {
        // printf '%s' 'id.1800000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        let want = "sha256=2899347c2b6ac5caffdac3e6332a55e5e269e565462148a0df8e96b296a1937d";
        for key in ["secret", "whsec_secret"] {
            assert_eq!(sign(key, "id", "1800000000", r#"{"a":1}"#), want, "{key}");
        }
    }

    #[test]
    fn the_pipeline_is_on_unless_it_is_refused() {
        for (value, want) in [
            (None, true),
            (Some("true"), true),
            (Some("false"), false),
            (Some("False"), false),
            (Some("no"), true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                put(&mut headers, "x-use-inkbox-text-to-speech", value);
            }
            assert_eq!(asked(&headers, "x-use-inkbox-text-to-speech"), want);
        }
    }

    #[test]
    fn a_certificate_that_is_none_is_said() {
        let bad = "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n";
        assert!(trust(Some(bad)).is_err());
        assert!(trust(None).is_ok());
    }
}
