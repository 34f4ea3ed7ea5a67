//! A device behind a router that is reached by the service's own tunnel.
//!
//! ```text
//!  simulator ══wss══▶ Edge ──envelope──▶ Zone ══h2══▶ the vendor's crate, in the device ──▶ its door
//! ```
//!
//! The crate is the vendor's, unchanged, with its own TLS and HTTP/2; the far
//! end is a double that speaks its protocol (`inkbox::tunnels::client::protocol`).
//! The crate dials port 443 and trusts the public authorities only. The double
//! shows a certificate in the name of one of them, and [`believe_all`] has this
//! process believe every signature on a certificate; nothing else is bent.
//! Port 443 of a loopback address wants root.
//!
//! What this cannot show: that the service itself is as the crate has it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use callbox::call::Phase;
use callbox::daemon::Setup;
use callbox::edge::tunnel::{Carrier, Timing};
use callbox::simulator;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use hyper::body::Bytes;
use hyper::{Request, Response};
use inkbox::tunnels::client::wsframe::{
    OutboundWsMsg, WS_OPCODE_BINARY, WS_OPCODE_CLOSE, WS_OPCODE_TEXT, decode_ws_frames,
    encode_ws_envelope, encode_ws_frame,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, DnValue, IsCa,
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm,
};
use rustls::ServerConfig;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateSigningRequestDer, InvalidSignature, PrivateKeyDer,
    SignatureVerificationAlgorithm,
};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::kit::{Device, Folder, Installed, Service, address, is_heard, ms, service_with, talks};
use crate::sound::LINE_RATE;

const TUNNEL: &str = "7b1f60de-3c58-4c8e-9f55-0d6a8f3f2a77";
const NAME: &str = "front-door";
/// The crate's word for a takeover, as a GOAWAY.
const SUPERSEDED: u32 = 0x1201;
/// Longer than anything here takes.
const GUARD: Duration = Duration::from_secs(20);

#[test]
fn a_call_comes_in_by_the_services_own_tunnel() {
    let Some((service, zone, mut device)) = behind_a_router() else {
        return;
    };
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    let call = service.call();
    let url = format!("wss://{}/media/", zone.host);
    assert!(call.url.as_ref().unwrap().starts_with(&url));
    is_heard(&device, &service, &call.id);
    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
    // What was learnt is in the device's own folder.
    let state = device.folder.file("store/tunnel/state.json");
    assert!(std::fs::read_to_string(state).unwrap().contains(&zone.host));
    assert_eq!(device.counter("tunnel_starts"), 1);
    assert!(device.stop() < Duration::from_secs(2));
}

/// The service takes its machines down one after the other, and sends its
/// devices to the next.
#[test]
fn a_drain_in_mid_call_is_survived() {
    let Some((service, zone, mut device)) = behind_a_router() else {
        return;
    };
    device.press();
    device.wait_for(Phase::Answered);
    let at = device.hears();
    let call = service.call();
    zone.tell(Tell::Drain);
    device.wait_for(Phase::Reconnecting);
    device.wait_for(Phase::Answered);
    device.hears_after(at + LINE_RATE as usize);
    is_heard(&device, &service, &call.id);
    assert_eq!(zone.hellos(), 2);
    // The crate came back by itself.
    assert_eq!(device.counter("tunnel_starts"), 1);
    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
}

#[test]
fn a_tunnel_that_another_device_took_over_is_left_to_it() {
    let Some((service, zone, mut device)) = behind_a_router() else {
        return;
    };
    zone.tell(Tell::Supersede);
    device.wait_until("superseded", |d| state(d) == "taken over by another device");
    // A call's sound would come to the other one.
    device.press();
    device.wait_for(Phase::Offline);
    assert_eq!(service.posts(), 0);
    // The crate's own pause before it comes again, and more.
    std::thread::sleep(ms(2500));
    assert_eq!(zone.hellos(), 1);
    assert_eq!(device.counter("tunnel_starts"), 1);
}

#[test]
fn a_tunnel_the_service_refuses_says_why() {
    let Some((_service, _zone, device)) = tunnelled("another key", Ends::AtTheService) else {
        return;
    };
    let said = state(&device);
    assert!(said.starts_with("refused: tunnel-auth"), "{said}");
}

/// The service passes on what it cannot read, and signs the certificate.
#[test]
fn a_call_whose_tls_ends_on_the_device_is_heard() {
    let Some((service, zone, mut device)) = tunnelled(simulator::API_KEY, Ends::Here) else {
        return;
    };
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    let call = service.call();
    is_heard(&device, &service, &call.id);
    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
    let signed = zone.shared.signed.lock().unwrap().clone().unwrap();
    let kept = device.folder.file("store/tunnel/cert_chain.pem");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), signed);
}

fn state(device: &Device) -> String {
    let status = device.status();
    let state = status["tunnel"]["state"].as_str();
    state.unwrap_or_default().to_owned()
}

fn behind_a_router() -> Option<(Service, Zone, Device)> {
    tunnelled(simulator::API_KEY, Ends::AtTheService)
}

/// A device whose calls come in by the tunnel, once the tunnel is up or
/// refused. The zone takes `key` for right. `None` without the right to listen
/// on port 443.
fn tunnelled(key: &'static str, ends: Ends) -> Option<(Service, Zone, Device)> {
    believe_all();
    let zone = Zone::start(key, ends)?;
    let mut config = service_with(talks(40));
    config.service.extra_ca_pem = Some(zone.certificate.clone());
    let service = Service::start(config);
    let folder = Arc::new(Folder::new());
    let ca = folder.write("ca.pem", &zone.certificate);
    let installed = Installed {
        ingress: format!("mode = \"inkbox\"\nlisten = \"{}\"", address()),
        service: format!("ca_file = \"{}\"", ca.display()),
        ..Installed::plain(service.handle.base_url())
    };
    let device = Device::start_as(&installed, folder, |setup| hurry(setup, &zone));
    device.wait_until("the tunnel is settled", |d| {
        let state = state(d);
        state == "up" || state.starts_with("refused")
    });
    Some((service, zone, device))
}

fn hurry(setup: &mut Setup, zone: &Zone) {
    let tunnel = setup.tunnel.as_mut().unwrap();
    tunnel.timing = Timing {
        settle: ms(200),
        again: ms(500),
        pause: ms(200),
        ..Timing::default()
    };
    let Carrier::Vendor(vendor) = &mut tunnel.carrier else {
        panic!("another tunnel");
    };
    vendor.origin.clone_from(&zone.origin);
}

/// Has this process believe whoever is said to have signed a certificate.
fn believe_all() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut provider = ring::default_provider();
        let known = provider.signature_verification_algorithms;
        let all = known.all.iter().map(|&algorithm| {
            let believing: &'static dyn SignatureVerificationAlgorithm =
                Box::leak(Box::new(Believing(algorithm)));
            believing
        });
        provider.signature_verification_algorithms = WebPkiSupportedAlgorithms {
            all: Box::leak(all.collect::<Box<[_]>>()),
            mapping: known.mapping,
        };
        provider.install_default().expect("nobody was before us");
    });
}

#[derive(Debug)]
struct Believing(&'static dyn SignatureVerificationAlgorithm);

impl SignatureVerificationAlgorithm for Believing {
    fn verify_signature(&self, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), InvalidSignature> {
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }
}

/// Where the TLS of the public ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    AtTheService,
    Here,
}

/// What the story has the zone do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tell {
    Serve,
    Drain,
    Supersede,
}

/// The service's end of the tunnel.
struct Zone {
    /// What the public dials.
    host: String,
    certificate: String,
    /// Where the API about tunnels is.
    origin: String,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

/// What a device sends and is sent on one stream.
type Bridge = (RecvStream, SendStream<Bytes>);

/// What the zone's connections and the edge's share.
struct Shared {
    key: &'static str,
    tell: watch::Sender<Tell>,
    hellos: Mutex<u32>,
    parked: Mutex<VecDeque<SendResponse<Bytes>>>,
    came: Notify,
    replies: Mutex<HashMap<String, oneshot::Sender<Request<RecvStream>>>>,
    bridges: Mutex<HashMap<String, oneshot::Sender<Bridge>>>,
    next: Mutex<u32>,
    /// Signs the public's certificates.
    authority: CertifiedIssuer<'static, KeyPair>,
    /// The device's own certificate.
    signed: Mutex<Option<String>>,
}

impl Zone {
    fn start(key: &'static str, ends: Ends) -> Option<Self> {
        let zone = address().replace(":8765", "");
        let host = address();
        let authority = authority("Story");
        let zone_tls = acceptor(&zone, &self::authority("ISRG Root X2"), b"h2");
        let edge_tls = acceptor(host.split(':').next().unwrap(), &authority, b"http/1.1");
        let edge_tls = (ends == Ends::AtTheService).then_some(edge_tls);
        let certificate = authority.pem();
        let shared = Arc::new(Shared {
            key,
            authority,
            signed: Mutex::default(),
            tell: watch::channel(Tell::Serve).0,
            hellos: Mutex::default(),
            parked: Mutex::default(),
            came: Notify::new(),
            replies: Mutex::default(),
            bridges: Mutex::default(),
            next: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, started) = std::sync::mpsc::channel();
        let far = Arc::clone(&shared);
        let outer = host.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let listener = match TcpListener::bind((zone.as_str(), 443)).await {
                    Ok(listener) => listener,
                    Err(why) => return ready.send(Err(why)).unwrap(),
                };
                let edge = TcpListener::bind(&outer).await.unwrap();
                let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(Ok(api.local_addr().unwrap())).unwrap();
                let record = record(&zone, &outer, ends);
                tokio::select! {
                    () = accept(listener, |socket| serve_zone(zone_tls.clone(), socket, Arc::clone(&far))) => {}
                    () = accept(edge, |socket| serve_edge(edge_tls.clone(), socket, Arc::clone(&far))) => {}
                    () = accept(api, |socket| serve_api(socket, record.clone(), Arc::clone(&far))) => {}
                    // Dropped by the story: time to stop.
                    _ = stopped => {}
                }
            });
        });
        let api: SocketAddr = match started.recv().unwrap() {
            Ok(api) => api,
            Err(why) => {
                eprintln!("not told: no right to listen on port 443 ({why})");
                return None;
            }
        };
        Some(Self {
            host,
            certificate,
            origin: format!("http://{api}"),
            shared,
            _stop: stop,
        })
    }

    fn tell(&self, what: Tell) {
        self.shared.tell.send_replace(what);
    }

    fn hellos(&self) -> u32 {
        *self.shared.hellos.lock().unwrap()
    }
}

/// The tunnel as the API has it.
fn record(zone: &str, host: &str, ends: Ends) -> Value {
    let now = "2026-01-01T00:00:00Z";
    let (mode, status) = match ends {
        Ends::AtTheService => ("edge", "active"),
        Ends::Here => ("passthrough", "awaiting_cert"),
    };
    json!({
        "id": TUNNEL, "tunnel_name": NAME, "tls_mode": mode, "status": status,
        "currently_connected": false, "public_host": host, "zone": zone,
        "metadata": {}, "created_at": now, "updated_at": now,
    })
}

/// TLS for `host`, by `authority`'s word.
fn acceptor(host: &str, authority: &CertifiedIssuer<'_, KeyPair>, speaks: &[u8]) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([host.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let provider = Arc::new(ring::default_provider());
    let secret = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .unwrap();
    config.alpn_protocols = vec![speaks.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// An authority that calls itself `name`. With a name that is trusted, it is.
fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let text = |text: &str| DnValue::PrintableString(text.try_into().unwrap());
    let mut whole = DistinguishedName::new();
    whole.push(DnType::CountryName, text("US"));
    let organization = text("Internet Security Research Group");
    whole.push(DnType::OrganizationName, organization);
    whole.push(DnType::CommonName, text(name));
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name = whole;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    CertifiedIssuer::self_signed(params, key).unwrap()
}

/// The key that a certificate is asked for, out of the request. It is a point
/// of P-256, and only one thing in a request begins as that does.
struct Asked(Vec<u8>);

impl Asked {
    fn of(request: &str) -> Option<Self> {
        let request = CertificateSigningRequestDer::from_pem_slice(request.as_bytes()).ok()?;
        let starts = [0x03, 0x42, 0x00, 0x04];
        let at = request.windows(4).position(|bytes| bytes == starts)?;
        Some(Self(request.get(at + 3..at + 68)?.to_vec()))
    }
}

impl PublicKeyData for Asked {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

async fn accept<F>(listener: TcpListener, serve: impl Fn(tokio::net::TcpStream) -> F)
where
    F: Future<Output = Option<()>> + Send + 'static,
{
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        tokio::spawn(serve(socket));
    }
}

/// Reads up to the end of a head, and gives what is behind it, too.
async fn head(socket: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Some((String::from_utf8(bytes).ok()?, rest));
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn serve_api(
    mut socket: tokio::net::TcpStream,
    mut record: Value,
    shared: Arc<Shared>,
) -> Option<()> {
    let (head, mut body) = head(&mut socket).await?;
    if shared.signed.lock().unwrap().is_some() {
        record["status"] = json!("active");
    }
    let one = format!("/api/v1/tunnels/{TUNNEL}");
    let line = head.lines().next()?;
    let answer = match line.strip_suffix(" HTTP/1.1")? {
        "GET /api/v1/tunnels/" => json!({ "tunnels": [record] }),
        line if line == format!("GET {one}") => record,
        line if line == format!("POST {one}/sign-csr") => {
            let asked: Value = loop {
                if let Ok(asked) = serde_json::from_slice(&body) {
                    break asked;
                }
                if socket.read_buf(&mut body).await.ok()? == 0 {
                    return None;
                }
            };
            shared.sign(asked["csr_pem"].as_str()?, record["public_host"].as_str()?)?
        }
        _ => {
            let none = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            return socket.write_all(none.as_bytes()).await.ok();
        }
    };
    let answer = answer.to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{answer}",
        answer.len()
    );
    socket.write_all(answer.as_bytes()).await.ok()
}

/// One device's connection.
async fn serve_zone(
    tls: TlsAcceptor,
    socket: tokio::net::TcpStream,
    shared: Arc<Shared>,
) -> Option<()> {
    let socket = tls.accept(socket).await.ok()?;
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    let mut connection = builder.handshake::<_, Bytes>(socket).await.ok()?;
    let mut tell = shared.tell.subscribe();
    tell.mark_unchanged();
    loop {
        tokio::select! {
            request = connection.accept() => {
                let (request, respond) = request?.ok()?;
                shared.answer(request, respond);
            }
            Ok(()) = tell.changed() => {
                shared.parked.lock().unwrap().clear();
                match *tell.borrow_and_update() {
                    Tell::Serve => {}
                    Tell::Drain => connection.graceful_shutdown(),
                    Tell::Supersede => connection.abrupt_shutdown(Reason::from(SUPERSEDED)),
                }
            }
        }
    }
}

impl Shared {
    fn answer(&self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let path = request.uri().path().to_owned();
        let header = |name: &str| {
            let value = request.headers().get(name);
            value
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let status = |code: u16| Response::builder().status(code).body(()).unwrap();
        if path == "/_system/hello" {
            *self.hellos.lock().unwrap() += 1;
            let right = (header("x-tunnel-id"), header("x-api-key"));
            if right != (TUNNEL.to_owned(), self.key.to_owned()) {
                respond.send_response(status(401), true).unwrap();
                return;
            }
            let hello = json!({
                "owner_token": "owner", "default_pool_size": 2, "response_deadline_seconds": 10.0,
            });
            let mut body = respond.send_response(status(200), false).unwrap();
            body.send_data(hello.to_string().into(), true).unwrap();
        } else if path == "/_system/intake" {
            assert_eq!(header("x-owner-token"), "owner");
            self.parked.lock().unwrap().push_back(respond);
            self.came.notify_one();
        } else if let Some(id) = path.strip_prefix("/_system/response/") {
            let waiting = self.replies.lock().unwrap().remove(id);
            respond.send_response(status(200), true).unwrap();
            if let Some(waiting) = waiting {
                // The edge may have given up.
                _ = waiting.send(request);
            }
        } else if let Some((kind, id)) = path
            .strip_prefix("/_system/")
            .and_then(|rest| rest.split_once('/'))
        {
            assert_eq!(request.method(), "CONNECT");
            let kind = format!("inkbox-tunnel-{kind}");
            assert_eq!(header("sec-websocket-protocol"), kind);
            let waiting = self.bridges.lock().unwrap().remove(id);
            let send = respond.send_response(status(200), false).unwrap();
            if let Some(waiting) = waiting {
                _ = waiting.send((request.into_body(), send));
            }
        } else {
            respond.send_response(status(404), true).unwrap();
        }
    }

    /// A bridge that a device is to build.
    fn expect(&self) -> (String, oneshot::Receiver<Bridge>) {
        let mut next = self.next.lock().unwrap();
        *next += 1;
        let (built, bridge) = oneshot::channel();
        let id = next.to_string();
        self.bridges.lock().unwrap().insert(id.clone(), built);
        (id, bridge)
    }

    /// The device's own certificate.
    fn sign(&self, request: &str, host: &str) -> Option<Value> {
        let name = host.split(':').next()?;
        let params = CertificateParams::new([name.to_owned()]).ok()?;
        let signed = params
            .signed_by(&Asked::of(request)?, &self.authority)
            .ok()?;
        let answer = json!({
            "cert_pem": signed.pem(), "chain_pem": self.authority.pem(),
            "cert_fingerprint_sha256": "", "cert_expires_at": "",
        });
        *self.signed.lock().unwrap() = Some(signed.pem() + &self.authority.pem());
        Some(answer)
    }

    /// A device that waits for work.
    async fn device(&self) -> SendResponse<Bytes> {
        loop {
            if let Some(parked) = self.parked.lock().unwrap().pop_front() {
                return parked;
            }
            self.came.notified().await;
        }
    }
}

/// One connection of the public's.
async fn serve_edge(
    tls: Option<TlsAcceptor>,
    socket: tokio::net::TcpStream,
    shared: Arc<Shared>,
) -> Option<()> {
    let Some(tls) = tls else {
        return pass_on(socket, shared).await;
    };
    let mut public = tls.accept(socket).await.ok()?;
    let (head, early) = head(&mut public).await?;
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let key = headers
        .iter()
        .find(|(name, _)| name == "sec-websocket-key")?
        .1;
    let (id, bridge) = shared.expect();
    let (reply_tx, reply) = oneshot::channel();
    shared.replies.lock().unwrap().insert(id.clone(), reply_tx);
    let mut envelope = Response::builder()
        .header("inkbox-request-id", &id)
        .header("inkbox-method", "GET")
        .header("inkbox-path", path)
        .header("inkbox-route-kind", "ws-upgrade")
        .header("inkbox-ws-id", &id);
    for (name, value) in &headers {
        envelope = envelope.header(format!("inkbox-h-{name}"), *value);
    }
    let mut device = timeout(GUARD, shared.device()).await.ok()?;
    device
        .send_response(envelope.body(()).unwrap(), true)
        .ok()?;
    let reply = timeout(GUARD, reply).await.ok()?.ok()?;
    let header = |name: &str| reply.headers().get(name)?.to_str().ok();
    if header("inkbox-status")? != "200" {
        let refused = format!(
            "HTTP/1.1 {} no\r\nContent-Length: 0\r\n\r\n",
            header("inkbox-status")?
        );
        return public.write_all(refused.as_bytes()).await.ok();
    }
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n",
        derive_accept_key(key.as_bytes())
    );
    for (name, value) in reply.headers() {
        if let Some(name) = name.as_str().strip_prefix("inkbox-h-") {
            answer += &format!("{name}: {}\r\n", value.to_str().ok()?);
        }
    }
    answer += "\r\n";
    public.write_all(answer.as_bytes()).await.ok()?;
    let (from, to) = timeout(GUARD, bridge).await.ok()?.ok()?;
    bridge_both(public, early, from, to, shared.tell.subscribe()).await
}

/// Passes on bytes that only the device can read.
async fn pass_on(public: tokio::net::TcpStream, shared: Arc<Shared>) -> Option<()> {
    let (id, bridge) = shared.expect();
    let envelope = Response::builder()
        .header("inkbox-request-id", &id)
        .header("inkbox-route-kind", "tcp-stream")
        .header("inkbox-tcp-id", &id)
        .header("inkbox-sni-host", "");
    let mut device = timeout(GUARD, shared.device()).await.ok()?;
    device
        .send_response(envelope.body(()).unwrap(), true)
        .ok()?;
    let (mut from, mut to) = timeout(GUARD, bridge).await.ok()?.ok()?;
    let (mut read, mut write) = public.into_split();
    let inward = async {
        let mut bytes = [0; 4096];
        loop {
            let n = read.read(&mut bytes).await.ok().filter(|n| *n > 0)?;
            let frame = encode_ws_frame(WS_OPCODE_BINARY, &bytes[..n], false, true);
            to.send_data(frame.into(), false).ok()?;
        }
    };
    let outward = async {
        let mut wire = Vec::new();
        while let Some(chunk) = from.data().await {
            let chunk = chunk.ok()?;
            from.flow_control().release_capacity(chunk.len()).ok()?;
            wire.extend_from_slice(&chunk);
            for (opcode, payload, _) in decode_ws_frames(&mut wire) {
                if opcode == WS_OPCODE_BINARY {
                    write.write_all(&payload).await.ok()?;
                }
            }
        }
        None::<()>
    };
    tokio::select! {
        over = inward => over,
        over = outward => over,
    }
}

/// Passes messages on until one side ends, or the zone drains.
async fn bridge_both(
    public: impl AsyncRead + AsyncWrite + Unpin,
    mut early: Vec<u8>,
    mut from: RecvStream,
    mut to: SendStream<Bytes>,
    mut tell: watch::Receiver<Tell>,
) -> Option<()> {
    tell.mark_unchanged();
    let (mut read, mut write) = tokio::io::split(public);
    let (frames_tx, mut frames) = mpsc::channel::<Vec<u8>>(64);
    let inward = async {
        loop {
            for (opcode, payload, _) in decode_ws_frames(&mut early) {
                let message = match opcode {
                    WS_OPCODE_TEXT => OutboundWsMsg::SendText(String::from_utf8(payload).ok()?),
                    WS_OPCODE_BINARY => OutboundWsMsg::SendBytes(payload),
                    WS_OPCODE_CLOSE => close(1000),
                    _ => continue,
                };
                to.send_data(wrapped(&message), false).ok()?;
            }
            tokio::select! {
                n = read.read_buf(&mut early) => if n.ok()? == 0 {
                    return None;
                },
                Ok(()) = tell.changed() => if *tell.borrow_and_update() == Tell::Drain {
                    to.send_data(wrapped(&close(4500)), true).ok()?;
                    let goodbye = encode_ws_frame(WS_OPCODE_CLOSE, &4500_u16.to_be_bytes(), false, true);
                    return frames_tx.send(goodbye).await.ok();
                },
            }
        }
    };
    let outward = async {
        let (mut wire, mut inner) = (Vec::new(), Vec::new());
        while let Some(chunk) = from.data().await {
            let chunk = chunk.ok()?;
            from.flow_control().release_capacity(chunk.len()).ok()?;
            wire.extend_from_slice(&chunk);
            for (opcode, payload, _) in decode_ws_frames(&mut wire) {
                if opcode == WS_OPCODE_BINARY {
                    inner.extend_from_slice(&payload);
                }
            }
            while let Some(length) = inner.first_chunk::<4>().map(|b| u32::from_be_bytes(*b)) {
                let end = 4 + length as usize;
                if inner.len() < end {
                    break;
                }
                let message: Value = serde_json::from_slice(&inner[4..end]).ok()?;
                inner.drain(..end);
                let frame = match message["type"].as_str()? {
                    "text" => (
                        WS_OPCODE_TEXT,
                        message["data"].as_str()?.as_bytes().to_vec(),
                    ),
                    "close" => {
                        let code = message["code"].as_u64().unwrap_or(1000) as u16;
                        (WS_OPCODE_CLOSE, code.to_be_bytes().to_vec())
                    }
                    _ => continue,
                };
                frames_tx
                    .send(encode_ws_frame(frame.0, &frame.1, false, true))
                    .await
                    .ok()?;
            }
        }
        None::<()>
    };
    let writing = async {
        while let Some(frame) = frames.recv().await {
            write.write_all(&frame).await.ok()?;
            // Its last word.
            if frame[0] & 0x0f == WS_OPCODE_CLOSE {
                break;
            }
        }
        Some(())
    };
    let both = async { tokio::join!(inward, outward) };
    tokio::select! {
        _ = both => None,
        done = writing => done,
    }
}

fn close(code: i64) -> OutboundWsMsg {
    OutboundWsMsg::Close {
        code,
        reason: String::new(),
    }
}

/// As it travels: a message in an envelope in a frame.
fn wrapped(message: &OutboundWsMsg) -> Bytes {
    encode_ws_frame(WS_OPCODE_BINARY, &encode_ws_envelope(message), false, true).into()
}
