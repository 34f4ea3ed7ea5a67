//! The service's own tunnel, as the vendor's crate runs it.
//!
//! ```text
//!  start:  list tunnels ─▶ ours? ─▶ [certificate] ─▶ zone, public host
//!  run:    thread `tunnel-media`: one HTTP/2 connection to the zone
//!            ═▶ each stream of the service ═▶ loopback ═▶ the door
//! ```
//!
//! A tunnel belongs to an agent identity at the service, and has its name. It
//! ends TLS at the service's edge, or here with a certificate that the service
//! signs: which of the two is the tunnel's own setting there. That key, the
//! certificate and what was learnt of the tunnel are in a folder of the
//! device's, not in anybody's home.
//!
//! The crate connects again by itself after a lost connection or a drain (the
//! service closes streams with 4500 then), and does not once another device
//! has taken the tunnel over. Streams that were open go down with the
//! connection; the call takes the next one over.
//!
//! Threads: what blocks (the crate's REST client) runs on the tunnel's own
//! blocking threads; the tunnel itself on one of its own, raised like the media
//! runtime, since the sound passes through it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use inkbox::Inkbox;
use inkbox::error::InkboxError;
use inkbox::tunnels::client::bootstrap::resolve_zone_and_host;
use inkbox::tunnels::client::cert::{
    build_csr, cert_needs_sign, key_pem_bytes, load_or_create_keypair, write_cert_chain,
};
use inkbox::tunnels::client::state::{
    CERT_FILE, StateEntry, ensure_private_state_dir, load_state, save_state,
};
use inkbox::tunnels::client::{ForwardTo, TunnelRuntime, TunnelRuntimeConfig};
use inkbox::tunnels::resources::TunnelsResource;
use inkbox::tunnels::types::{TLSMode, Tunnel, TunnelStatus, TunnelStatusValue};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::{Happened, Over};
use crate::edge::realtime;
use crate::edge::rest::ApiKey;
use crate::wire::rest::WsUrl;

/// For one request to the service; signing a certificate has minutes.
const REQUEST: Duration = Duration::from_secs(15);
/// Requests of the service that may wait for the device, unless it says more.
const POOL: i64 = 2;
/// Bytes of a request's body that are taken in: the door wants none.
const BODY_MAX: usize = 16 * 1024;
/// For the connection to be closed in good order.
const CLOSE_WITHIN: Duration = Duration::from_millis(250);
/// How often the certificate's age is looked at.
const LOOK_AT_CERTIFICATE: Duration = Duration::from_secs(6 * 3600);
/// Letters of the service's own words that are passed on.
const WORDS_MAX: usize = 200;

/// Which tunnel, and by what right.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the service's API is, without a path.
    pub origin: String,
    /// The key that may use the tunnel.
    pub api_key: ApiKey,
    /// Its name. `None`: the only one that the key sees.
    pub name: Option<String>,
    /// Where certificate and address are kept.
    pub folder: PathBuf,
}

/// The address that was learnt when the tunnel was last up.
#[must_use]
pub fn kept_url(folder: &Path) -> Option<WsUrl> {
    public_url(&load_state(folder)?.public_host?)
}

fn public_url(host: &str) -> Option<WsUrl> {
    WsUrl::parse(&format!("wss://{host}")).ok()
}

/// A tunnel as the service has it.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// What the service dials.
    pub public_url: WsUrl,
    /// Somebody keeps it up at this moment; `None` where the service does not say.
    pub connected: Option<bool>,
}

/// Why a tunnel cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It may work in a moment.
    #[error("{0}")]
    Now(String),
    /// A person has to see to it.
    #[error("{0}")]
    Refused(String),
}

/// Asks the service for the tunnel, and changes nothing. Blocks: not on a
/// runtime's thread.
///
/// # Errors
/// There is none that could be used.
pub fn look_up(config: &Config) -> Result<Account, Unusable> {
    let sdk = sdk(config)?;
    let tunnel = choose(sdk.tunnels(), config.name.as_deref())?;
    let unreadable = || Unusable::Now(format!("its address {:?} is none", tunnel.public_host));
    Ok(Account {
        public_url: public_url(&tunnel.public_host).ok_or_else(unreadable)?,
        // A list need not say it; the tunnel itself does.
        connected: match tunnel.currently_connected {
            None => {
                sdk.tunnels()
                    .get(&tunnel.id.to_string())
                    .map_err(unusable)?
                    .currently_connected
            }
            known => known,
        },
        name: tunnel.tunnel_name,
    })
}

/// A tunnel ready to be connected.
struct Ready {
    config: TunnelRuntimeConfig,
    public_url: WsUrl,
    /// It ends TLS here.
    certified: bool,
}

fn sdk(config: &Config) -> Result<Arc<Inkbox>, Unusable> {
    Inkbox::builder(config.api_key.reveal())
        .base_url(&config.origin)
        .timeout_secs(REQUEST.as_secs_f64())
        .build()
        .map_err(unusable)
}

fn make_ready(config: &Config, door: SocketAddr) -> Result<Ready, Unusable> {
    let sdk = sdk(config)?;
    let tunnels = sdk.tunnels();
    let tunnel = choose(tunnels, config.name.as_deref())?;
    let folder = &config.folder;
    let disk = |why: &dyn std::fmt::Display| Unusable::Now(format!("{}: {why}", folder.display()));
    ensure_private_state_dir(folder).map_err(|why| disk(&why))?;
    let (zone, host) = resolve_zone_and_host(
        &tunnel.tunnel_name,
        Some(&tunnel.zone),
        Some(&tunnel.public_host),
        None,
        None,
    );
    let public_url =
        public_url(&host).ok_or_else(|| Unusable::Now(format!("its address {host:?} is none")))?;
    let certified = tunnel.tls_mode == TLSMode::Passthrough;
    let tls_material = match certified {
        true => Some(certify(tunnels, &tunnel, &host, folder)?),
        false => None,
    };
    let entry = StateEntry {
        tunnel_id: tunnel.id.to_string(),
        name: tunnel.tunnel_name,
        mode: Some(if certified { "passthrough" } else { "edge" }.to_owned()),
        zone: Some(zone.clone()),
        public_host: Some(host.clone()),
    };
    // Flash lasts longer when nothing is written that is there already.
    if load_state(folder).as_ref() != Some(&entry) {
        save_state(folder, &entry).map_err(|why| disk(&why))?;
    }
    Ok(Ready {
        config: TunnelRuntimeConfig {
            tunnel_id: entry.tunnel_id,
            api_key: config.api_key.reveal().to_owned(),
            zone,
            public_host: host,
            pool_size: Some(POOL),
            forward_to: ForwardTo::Url(format!("http://{door}")),
            tls_material,
            max_inbound_body_bytes: BODY_MAX,
            max_outbound_body_bytes: BODY_MAX,
            on_status: None,
            forward_to_verify_tls: true,
            forward_to_ca_bundle: None,
        },
        public_url,
        certified,
    })
}

/// The tunnel of that name, or the only one.
fn choose(tunnels: &TunnelsResource, name: Option<&str>) -> Result<Tunnel, Unusable> {
    const SET: &str = "write the one of this device into [ingress] tunnel";
    let mut all = tunnels.list().map_err(unusable)?;
    all.retain(|t| t.status != TunnelStatusValue::Known(TunnelStatus::Deleted));
    let names: Vec<&str> = all.iter().map(|t| t.tunnel_name.as_str()).collect();
    let names = shown(&names.join(", "));
    let found = match (name, all.len()) {
        (_, 0) => {
            return Err(Unusable::Refused(
                "the service has no tunnel for this API key; make an agent identity in its \
                 console, which comes with one"
                    .to_owned(),
            ));
        }
        (Some(name), _) => {
            let name = name.trim_start_matches('@').to_ascii_lowercase();
            all.into_iter().find(|t| t.tunnel_name == name)
        }
        (None, 1) => all.pop(),
        (None, _) => {
            return Err(Unusable::Refused(format!(
                "the API key sees several tunnels ({names}); {SET}"
            )));
        }
    };
    let found = found
        .ok_or_else(|| Unusable::Refused(format!("there is no such tunnel, but {names}; {SET}")))?;
    let ready = match (&found.status, found.tls_mode) {
        (TunnelStatusValue::Known(TunnelStatus::Active), _) => true,
        (TunnelStatusValue::Known(TunnelStatus::AwaitingCert), mode) => {
            mode == TLSMode::Passthrough
        }
        _ => false,
    };
    match ready {
        true => Ok(found),
        false => Err(Unusable::Refused(format!(
            "the tunnel {} is not active; see to it in the service's console",
            shown(&found.tunnel_name)
        ))),
    }
}

/// The certificate chain and its key in PEM, signed anew where it has to be.
fn certify(
    tunnels: &TunnelsResource,
    tunnel: &Tunnel,
    host: &str,
    folder: &Path,
) -> Result<(Vec<u8>, Vec<u8>), Unusable> {
    let key = load_or_create_keypair(folder).map_err(unusable)?;
    let awaited = tunnel.status == TunnelStatusValue::Known(TunnelStatus::AwaitingCert);
    let chain = if awaited || cert_needs_sign(folder, &key) {
        let request = build_csr(&key, host).map_err(unusable)?;
        let signed = tunnels
            .sign_csr(&tunnel.id.to_string(), &request)
            .map_err(unusable)?;
        write_cert_chain(folder, &signed.cert_pem, &signed.chain_pem).map_err(unusable)?
    } else {
        let path = folder.join(CERT_FILE);
        let lost = |why| Unusable::Now(format!("{}: {why}", path.display()));
        std::fs::read(&path).map_err(lost)?
    };
    Ok((chain, key_pem_bytes(&key).map_err(unusable)?))
}

fn unusable(error: InkboxError) -> Unusable {
    let said = shown(&error.to_string());
    match error {
        InkboxError::Api {
            status_code: 401 | 403,
            ..
        } => Unusable::Refused(format!("the service does not accept the API key: {said}")),
        InkboxError::Api {
            status_code: 400..=499,
            ..
        } => Unusable::Refused(said),
        _ => Unusable::Now(said),
    }
}

/// Words from outside, fit for a line.
fn shown(text: &str) -> String {
    let line = text.replace(char::is_control, " ");
    line.chars().take(WORDS_MAX).collect()
}

/// A tunnel that runs.
#[derive(Debug)]
pub(super) struct Vendor {
    public_url: WsUrl,
    line: watch::Receiver<Line>,
    end: oneshot::Receiver<Result<(), InkboxError>>,
    /// Tells it to end; `None` once it has ended.
    stop: Option<oneshot::Sender<()>>,
    /// The folder with its certificate, and when that is looked at next.
    certificate: Option<(PathBuf, Instant)>,
}

impl Vendor {
    pub(super) async fn start(config: &Config, door: SocketAddr) -> Result<Self, Over> {
        let prepared = {
            let config = config.clone();
            tokio::task::spawn_blocking(move || make_ready(&config, door)).await
        };
        let mut ready = match prepared {
            Ok(Ok(ready)) => ready,
            Ok(Err(Unusable::Now(why))) => return Err(Over::Ended(why)),
            Ok(Err(Unusable::Refused(why))) => return Err(Over::Refused(why)),
            Err(why) => return Err(Over::Ended(why.to_string())),
        };
        let (told, line) = watch::channel(Line::Connecting);
        ready.config.on_status = Some(Box::new(move |word| {
            told.send_replace(Line::of(word));
        }));
        let (stop, stopped) = oneshot::channel();
        let (end_tx, end) = oneshot::channel();
        let tunnel = ready.config;
        std::thread::Builder::new()
            .name("tunnel-media".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || {
                // Nobody listens any more when the tunnel was given up.
                _ = end_tx.send(carry(tunnel, stopped));
            })
            .map_err(|why| Over::Ended(format!("no thread for it: {why}")))?;
        let certificate = ready
            .certified
            .then(|| (config.folder.clone(), Instant::now() + LOOK_AT_CERTIFICATE));
        Ok(Self {
            public_url: ready.public_url,
            line,
            end,
            stop: Some(stop),
            certificate,
        })
    }

    pub(super) fn public_url(&self) -> WsUrl {
        self.public_url.clone()
    }

    /// Until there is something to say of it.
    pub(super) async fn next(&mut self) -> Happened {
        tokio::select! {
            // Its line is told no more when it is over.
            biased;
            end = &mut self.end => {
                self.stop = None;
                Happened::Over(match end {
                    Ok(end) => over(end),
                    Err(_) => Over::Ended("it fell over".to_owned()),
                })
            }
            Ok(()) = self.line.changed() => Happened::Line(*self.line.borrow_and_update()),
        }
    }

    /// Whether it wants to be started anew, with a newer certificate.
    pub(super) fn is_stale(&mut self, now: Instant) -> bool {
        let Some((folder, look)) = &mut self.certificate else {
            return false;
        };
        if now < *look {
            return false;
        }
        *look = now + LOOK_AT_CERTIFICATE;
        load_or_create_keypair(folder).is_ok_and(|key| cert_needs_sign(folder, &key))
    }

    pub(super) async fn stop(mut self) {
        // Gone when it was over before.
        if self.stop.take().is_some() {
            _ = timeout(CLOSE_WITHIN, &mut self.end).await;
        }
    }
}

/// The tunnel's thread, until the tunnel is over or told to stop.
fn carry(config: TunnelRuntimeConfig, stopped: oneshot::Receiver<()>) -> Result<(), InkboxError> {
    if let Err(denied) = realtime::raise_priority() {
        tracing::debug!("{denied}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .thread_stack_size(256 * 1024)
        .build()
        .map_err(|why| InkboxError::Tunnel(why.to_string()))?;
    let end = runtime.block_on(async {
        let tunnel = Arc::new(TunnelRuntime::new(config));
        let mut serve = pin!(tunnel.serve_forever());
        tokio::select! {
            end = &mut serve => return end,
            // Dropped: time to stop.
            _ = stopped => {}
        }
        _ = timeout(CLOSE_WITHIN, async { tokio::join!(tunnel.aclose(), serve) }).await;
        Ok(())
    });
    // A name server that is still waited for must not keep us.
    runtime.shutdown_background();
    end
}

fn over(end: Result<(), InkboxError>) -> Over {
    match end {
        Ok(()) => Over::Ended("it was closed".to_owned()),
        Err(error) if error.is_tunnel_superseded() => Over::Superseded,
        Err(InkboxError::Tunnel(why)) if why.starts_with("tunnel-auth") => {
            Over::Refused(shown(&why))
        }
        Err(error) => Over::Ended(shown(&error.to_string())),
    }
}

/// How the line to the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Connecting,
    Connected,
    Reconnecting,
    /// Closed or taken over: how it ended says which.
    Closed,
}

impl Line {
    /// What the crate calls it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
            Self::Closed => "closed",
        }
    }

    fn of(word: &str) -> Self {
        let known = [Self::Connecting, Self::Connected, Self::Reconnecting];
        let known = known.into_iter().find(|line| line.word() == word);
        known.unwrap_or(Self::Closed)
    }
}
