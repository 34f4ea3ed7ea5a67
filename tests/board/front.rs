//! TLS in front of the simulator: the way into the real service has it too.
//!
//! A device takes plain HTTP from its own machine only, and the service is not
//! on the board. One certificate stands for both ends of a story: for the
//! service as the guest knows it, and for the device as the service does.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::far_end::runtime;

/// This machine, as the guest reaches it.
pub(crate) const HOST: &str = "10.0.2.2";
/// This machine, where the emulator forwards the guest's media port.
pub(crate) const DEVICE: &str = "127.0.0.1";

/// The certificate of all stories.
pub(crate) fn certificate() -> &'static CertifiedKey<KeyPair> {
    static MADE: OnceLock<CertifiedKey<KeyPair>> = OnceLock::new();
    MADE.get_or_init(|| {
        let names = [HOST, DEVICE].map(str::to_owned);
        generate_simple_self_signed(names).expect("two addresses")
    })
}

/// Listens until it is dropped.
pub(crate) struct Front {
    /// Where, on [`HOST`].
    pub(crate) port: u16,
    _stop: oneshot::Sender<()>,
}

impl Front {
    /// Ends TLS and hands what is inside to `service`.
    pub(crate) fn start(service: SocketAddr) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, started) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            runtime().block_on(async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                ready.send(listener.local_addr().unwrap().port()).unwrap();
                tokio::select! {
                    () = serve(listener, service) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            port: started.recv().unwrap(),
            _stop: stop,
        }
    }
}

async fn serve(listener: TcpListener, service: SocketAddr) {
    let acceptor = TlsAcceptor::from(Arc::new(tls()));
    loop {
        let (outside, _) = listener.accept().await.unwrap();
        outside.set_nodelay(true).unwrap();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // How a client leaves is its own affair, and so is a broken line.
            let mut outside = acceptor.accept(outside).await?;
            let mut inside = TcpStream::connect(service).await?;
            inside.set_nodelay(true)?;
            copy_bidirectional(&mut outside, &mut inside).await
        });
    }
}

fn tls() -> ServerConfig {
    let made = certificate();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap()
}
