//! How long a qualified press takes to become a request on the wire.
//!
//! ```text
//!  press ──▶ Rest::place ──▶ loopback ──▶ whole request read by a server thread
//!    └───────────── what is measured ──────────────────┘
//! ```
//!
//! The stamp is taken where the request arrives, decrypted: it holds the
//! client's work, the kernel's, the wake-up of the server's thread and its
//! decryption, so it is an upper bound. The network is not in it. Run with
//! `cargo bench --bench press`; the mark is 5 ms at p99 on a warm connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use callbox::edge::rest::{ApiKey, Config, Rest, Timeouts};
use callbox::units::E164;
use callbox::wire::rest::{BaseUrl, PhoneNumberId, PlaceRequest, WsUrl};

/// Presses per figure.
const RUNS: usize = 500;

/// Presses not counted: caches and allocator settle.
const WARM_UP: usize = 20;

const CALL: &str = r#"{"id":"c1","direction":"outbound","status":"initiated"}"#;

fn main() {
    println!(
        "{:<34} {:>9} {:>9} {:>9}",
        "press → request at the server", "p50", "p99", "worst"
    );
    let plain = Server::start(None);
    report("plain, warm", &presses(&plain.client("http"), &plain));
    let certificate = Certificate::make();
    let tls = Server::start(Some(certificate.server()));
    let warm = tls.client("https").trusting(&certificate);
    report("TLS, warm", &presses(&warm, &tls));
    report("TLS, no connection kept", &cold_presses(&warm, &tls));
}

fn report(name: &str, sorted: &[Duration]) {
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    let (p50, p99, worst) = (at(0.5), at(0.99), at(1.0));
    println!("{name:<34} {p50:>9.1?} {p99:>9.1?} {worst:>9.1?}");
}

/// Presses on one client, whose connection is warm from the second on.
fn presses(client: &Client, server: &Server) -> Vec<Duration> {
    let rest = client.make();
    let took = client.runtime().block_on(async {
        let mut took = Vec::new();
        for _ in 0..WARM_UP + RUNS {
            took.push(press(&rest, server).await);
        }
        took
    });
    sorted(took[WARM_UP..].to_vec())
}

/// Presses on a client of their own each.
fn cold_presses(client: &Client, server: &Server) -> Vec<Duration> {
    let runtime = client.runtime();
    sorted(
        (0..RUNS)
            .map(|_| runtime.block_on(press(&client.make(), server)))
            .collect(),
    )
}

async fn press(rest: &Rest, server: &Server) -> Duration {
    let request = PlaceRequest {
        from: E164::parse("+4930123456").expect("a number"),
        to: E164::parse("+4989654321").expect("a number"),
        client_websocket_url: WsUrl::parse("wss://door.example/a/0123456789abcdef").ok(),
    };
    let pressed = Instant::now();
    rest.place(&request).await.expect("the server answers");
    server.arrivals.recv().expect("the server stamps") - pressed
}

fn sorted(mut took: Vec<Duration>) -> Vec<Duration> {
    took.sort_unstable();
    took
}

struct Client {
    base: String,
    extra_ca: Option<PathBuf>,
}

impl Client {
    fn trusting(mut self, certificate: &Certificate) -> Self {
        self.extra_ca = Some(certificate.path.clone());
        self
    }

    fn make(&self) -> Rest {
        let config = Config {
            base_url: BaseUrl::parse(&self.base).expect("a URL"),
            api_key: ApiKey::parse("a-key").expect("a key"),
            phone_number_id: PhoneNumberId::parse("6f2c9f0e-7d1b-4a53-9a8e-2f6a3c1d0b11").ok(),
            from_number: E164::parse("+15005550100").expect("a number"),
            extra_ca: self.extra_ca.clone(),
            timeouts: Timeouts::default(),
        };
        Rest::new(config, Arc::default()).expect("a client")
    }

    /// The same kind as the daemon's control runtime.
    fn runtime(&self) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    }
}

/// Stamps each request when it has it whole, then answers it.
struct Server {
    address: SocketAddr,
    arrivals: Receiver<Instant>,
}

impl Server {
    fn start(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (send, arrivals) = channel();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (send, tls) = (send.clone(), tls.clone());
                std::thread::spawn(move || {
                    _ = socket.set_nodelay(true);
                    match tls {
                        None => serve(socket, &send),
                        Some(tls) => {
                            let session = rustls::ServerConnection::new(tls).expect("a session");
                            serve(rustls::StreamOwned::new(session, socket), &send);
                        }
                    }
                });
            }
        });
        Self { address, arrivals }
    }

    fn client(&self, scheme: &str) -> Client {
        Client {
            base: format!("{scheme}://{}", self.address),
            extra_ca: None,
        }
    }
}

fn serve(mut socket: impl Read + Write, arrivals: &Sender<Instant>) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{CALL}",
        CALL.len()
    );
    let mut request = Vec::new();
    let mut part = [0; 4096];
    while let Ok(length @ 1..) = socket.read(&mut part) {
        request.extend_from_slice(&part[..length]);
        // The body is one JSON object, and nothing before it has a brace.
        if request.ends_with(b"}") {
            _ = arrivals.send(Instant::now());
            request.clear();
            if socket
                .write_all(answer.as_bytes())
                .and_then(|()| socket.flush())
                .is_err()
            {
                return;
            }
        }
    }
}

/// A certificate for this machine, and the file that makes a client trust it.
struct Certificate {
    made: rcgen::CertifiedKey<rcgen::KeyPair>,
    path: PathBuf,
}

impl Certificate {
    fn make() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("press.pem");
        std::fs::write(&path, made.cert.pem()).expect("a file in the target folder");
        Self { made, path }
    }

    fn server(&self) -> Arc<rustls::ServerConfig> {
        let key = self.made.signing_key.serialize_der();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                let chain = vec![self.made.cert.der().clone()];
                builder.with_no_client_auth().with_single_cert(chain, key)
            });
        Arc::new(config.expect("a TLS server"))
    }
}
