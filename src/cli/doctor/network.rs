//! The way out to the service, and the way in from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

use super::report::{Finding, Level};
use super::{Patient, Service};
use crate::cli::text::span;
use crate::config::{File, InboundAction, IngressMode, NO_SIGNING_KEY};
use crate::daemon::trouble_of;
use crate::edge::certificate::{self, Unfit};
use crate::edge::clock::Stamp;
use crate::edge::control::ask;
use crate::edge::ingress::{self, BindError, Files, Ingress, Mode, Routes};
use crate::edge::rest::authorities;
use crate::edge::round_trip::{Broken, Route, Trip, round_trip as dial};
use crate::units::E164;
use crate::wire::control::Request;
use crate::wire::handshake::Token;
use crate::wire::rest::{ApiError, Next, Number, NumberUpdate, Pair, WsUrl};

/// A clock further off than this is worth a word…
const CLOCK_WARN: Duration = Duration::from_secs(5);
/// …and further than this, certificates may be judged wrongly.
const CLOCK_FAULT: Duration = Duration::from_secs(3600);
/// A certificate that ends sooner should have been renewed already: renewal
/// is usual 30 days before the end.
const RENEW: Duration = Duration::from_secs(14 * 24 * 3600);
/// A round trip that takes longer delays the first words of every call.
const SLOW: Duration = Duration::from_secs(2);

pub(super) fn service(patient: &mut Patient) -> Vec<Finding> {
    let base = patient.file.service.base_url.as_str();
    let host = base.split('/').nth(2).unwrap_or(base);
    vec![match &patient.service {
        Service::NotAsked(why) => match patient.status("/service").as_str() {
            Some("reached") => {
                Finding::ok(format!("{why}, but the running callbox reaches {host}"))
            }
            _ => Finding::skip(format!("not asked: {why}")),
        },
        // Of what does not belong to the key, `number` speaks.
        Service::Asked {
            answer:
                Ok(_)
                | Err(ApiError::NotFound(_) | ApiError::NotYours(_) | ApiError::NoSuchNumber { .. }),
            took,
            ..
        } => Finding::ok(format!(
            "{host} answers in {} ms and accepts the key",
            took.as_millis()
        )),
        Service::Asked {
            answer: Err(error), ..
        } => {
            let level = match error.next() {
                // It was reached, and the key was accepted.
                Next::Wait(_) => Level::Warn,
                _ => Level::Fault,
            };
            let fix = "try again in a minute";
            Finding::told(level, &format!("{host}: {error}"), fix).shown_as(trouble_of(error))
        }
    }]
}

pub(super) fn number(patient: &mut Patient) -> Vec<Finding> {
    let Service::Asked { answer, number, .. } = &patient.service else {
        return Vec::new();
    };
    let file = &patient.file;
    let mut found: Vec<_> = identity(file, answer, number).into_iter().collect();
    let status = number.as_ref().as_ref().ok();
    let status = status.and_then(|number| number.status.as_deref());
    if let Some(status) = status.filter(|status| *status != "active") {
        let from = &file.service.from_number;
        let status: String = status.chars().filter(char::is_ascii_graphic).collect();
        found.push(Finding::warn(
            format!("the service says that {from} is {status:.40}, and only active numbers call"),
            "see to the number in the service's console",
        ));
    }
    found
}

/// Whether the number and its id belong together, and to this account.
fn identity(
    file: &File,
    answer: &Result<Pair, ApiError>,
    number: &Result<Number, ApiError>,
) -> Option<Finding> {
    let from = &file.service.from_number;
    let right = || Finding::ok(format!("{from} is the number of phone_number_id"));
    let wrong = |listed: &E164| {
        Finding::fault(
            format!("phone_number_id belongs to {listed}, but from_number is {from}"),
            "[service]: take both from the same line of `callbox service show`, or leave \
             phone_number_id out",
        )
    };
    Some(match (answer, number) {
        (Ok(Pair::Wrong { listed }), _) => wrong(listed),
        (Ok(_), _) if file.service.phone_number_id.is_none() => {
            Finding::ok(format!("{from} is one of the account's"))
        }
        (Ok(Pair::Right), _) => right(),
        // Without a call to tell, the service's own list does, where it has one.
        (Ok(Pair::Unproven), Ok(number)) if number.number == *from => right(),
        (Ok(Pair::Unproven), Ok(number)) => wrong(&number.number),
        (Ok(Pair::Unproven), Err(_)) => Finding::skip(format!(
            "{from} has no calls yet that would show whether phone_number_id is its own; the \
             first call tells"
        )),
        (Err(error @ ApiError::NoSuchNumber { .. }), _) => Finding::told(
            Level::Fault,
            &error.to_string(),
            "`callbox service show` lists the numbers",
        ),
        (Err(ApiError::NotFound(_) | ApiError::NotYours(_)), _) => Finding::fault(
            "the service knows no number with this phone_number_id for this key",
            "[service] phone_number_id: copy the id again from `callbox service show`, or leave \
             it out; and base_url, if it is set, must be right",
        ),
        (Err(_), _) => return None,
    })
}

const APPLY: &str = "callbox service apply";

/// Whether the service does with calls to the number what `[inbound]` says.
pub(super) fn inbound(patient: &mut Patient) -> Vec<Finding> {
    let file = &patient.file;
    let takes = file.inbound.action != InboundAction::Refuse;
    let wanted = match wanted(file) {
        Ok(wanted) => wanted,
        Err(why) => {
            let fix = "see [inbound] and [service] signing_key_file";
            return vec![Finding::told(Level::Fault, &why, fix)];
        }
    };
    let Service::Asked { number, .. } = &patient.service else {
        return Vec::new();
    };
    let Ok(number) = number.as_ref() else {
        return match takes {
            true => vec![Finding::skip(
                "the service does not say what becomes of calls to this number",
            )],
            false => Vec::new(),
        };
    };
    let (Some(wanted), Some(action)) = (wanted, &number.incoming_call_action) else {
        return vec![Finding::fault(
            "calls to this device have no secret path yet",
            APPLY,
        )];
    };
    let is = &number.number;
    vec![match (wanted.is_done(number), takes) {
        (true, true) => Finding::ok(format!("calls to {is} come to this device")),
        (true, false) => Finding::ok(format!("calls to {is} are refused by the service")),
        (false, true) => Finding::fault(
            format!("calls to {is} do not come here: the service has {action} for them"),
            APPLY,
        ),
        (false, false) => Finding::warn(
            format!("the service has {action} for calls to {is}, and this device refuses them"),
            format!("{APPLY}; leave it if another program takes those calls"),
        ),
    }]
}

/// What the configuration asks of the service; `None` when the secret path is
/// not made yet, since nothing is made here.
fn wanted(file: &File) -> Result<Option<NumberUpdate>, String> {
    if file.inbound.action == InboundAction::Refuse {
        return Ok(Some(NumberUpdate::for_inbound(None)));
    }
    if file.ingress()?.signing_key.is_none() {
        return Err(NO_SIGNING_KEY.to_owned());
    }
    let Some(token) = file.inbound_token()? else {
        return Ok(None);
    };
    Ok(Some(NumberUpdate::for_inbound(Some(
        file.inbound_url(&token)?,
    ))))
}

pub(super) fn clock(patient: &mut Patient) -> Vec<Finding> {
    const SET: &str = "timedatectl set-ntp true, and let the network pass NTP (UDP 123)";
    let now = Stamp::system();
    if now < Stamp::built() {
        return vec![Finding::fault(
            format!(
                "the clock shows {}, and this callbox was made later",
                certificate::day(now)
            ),
            SET,
        )];
    }
    let Service::Asked {
        clocks: Some((ours, service)),
        ..
    } = &patient.service
    else {
        return vec![Finding::skip(format!(
            "{}: plausible, but there is no answer of the service to compare it with",
            minute(now)
        ))];
    };
    let off = ours.since(*service).max(service.since(*ours));
    let side = if ours < service { "behind" } else { "ahead of" };
    let what = format!("{} {side} the service's", span(off));
    vec![match off {
        off if off <= CLOCK_WARN => Finding::ok("agrees with the service's"),
        off if off <= CLOCK_FAULT => Finding::warn(what, SET),
        _ => Finding::fault(what, SET),
    }]
}

fn minute(stamp: Stamp) -> String {
    let text: String = stamp.to_string().chars().take(16).collect();
    text.replace('T', " ") + " UTC"
}

pub(super) fn ingress(patient: &mut Patient) -> Vec<Finding> {
    let config = match patient.file.ingress() {
        Ok(config) => config,
        Err(why) => return vec![Finding::told(Level::Fault, &why, KEY_FIX)],
    };
    let mut found = match &config.mode {
        Mode::Plain => Vec::new(),
        Mode::Tls(files) => vec![own_certificate(&patient.file, files)],
    };
    // Without its certificate the port cannot be opened either.
    if found.iter().all(|f| f.level != Level::Fault) {
        found.push(match patient.runs() {
            true => daemons_port(patient),
            false => free_port(patient, config),
        });
    }
    found
}

const KEY_FIX: &str = "copy the signing key again from the service's console";

fn own_certificate(file: &File, files: &Files) -> Finding {
    let shown = files.certificate.display();
    let fault = |why: &dyn std::fmt::Display, fix: &str| {
        Finding::told(Level::Fault, &format!("certificate {shown}: {why}"), fix)
    };
    let chain = match ingress::chain(files) {
        Ok(chain) => chain,
        Err(error) => return fault(&error, "have the certificate issued again"),
    };
    let authorities = match authorities(file.service.ca_file.as_deref()) {
        Ok(authorities) => authorities,
        Err(error) => return fault(&error, "[service] ca_file names the file"),
    };
    let host = host(file);
    let now = Stamp::system();
    let until = match certificate::judge(&chain, &host, authorities, now) {
        Ok(until) => until,
        Err(unfit) => return fault(&unfit, advice_on(&unfit)),
    };
    let what = format!(
        "certificate for {host}, valid until {}",
        certificate::day(until)
    );
    match until.since(now) {
        left if left > RENEW => Finding::ok(what),
        left => Finding::warn(
            format!("{what}: {} left", span(left)),
            "renew it; with certbot: certbot renew. callbox takes the new files up by itself",
        ),
    }
}

fn advice_on(unfit: &Unfit) -> &'static str {
    match unfit {
        Unfit::Expired(_) => "renew it; with certbot: certbot renew",
        Unfit::NotYet(_) => "set the clock right, or have the certificate issued again",
        Unfit::OtherName { .. } => {
            "have one issued for that name, or put the certificate's name into [ingress] public_url"
        }
        Unfit::Unsigned => {
            "use one of a public authority, such as Let's Encrypt, and the file that holds the \
             whole chain (fullchain.pem); the service trusts no private one"
        }
        Unfit::Other(_) => "have the certificate issued again",
    }
}

/// The host of the public URL.
fn host(file: &File) -> String {
    let url = file.public_url();
    let url = url.as_ref().map_or("", WsUrl::as_str);
    let authority = url.split('/').nth(2).unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => authority.split(':').next(),
    };
    host.unwrap_or_default().to_owned()
}

/// Whether what listens on the port is the daemon that runs.
fn daemons_port(patient: &Patient) -> Finding {
    let listen = patient.file.ingress.listen;
    let probe = match Probe::of_daemon(patient) {
        Ok(probe) => probe,
        Err(why) => return Finding::told(Level::Fault, &why, "systemctl restart callbox"),
    };
    match probe.go(patient, Some(loopback(listen))) {
        Ok(_) => Finding::ok(format!("the running callbox answers at {listen}")),
        // TLS is up; the certificate has a line of its own.
        Err(Broken::Tls { why, .. }) if patient.file.ingress.mode == IngressMode::Tls => {
            Finding::warn(
                format!("the running callbox has another certificate than the file: {why}"),
                "see that the new files can be read by the user callbox runs as",
            )
        }
        Err(broken) => Finding::fault(
            format!("callbox runs, but does not answer at {listen}: {broken}"),
            "if [ingress] listen was changed: systemctl restart callbox; else see whether a \
             firewall on this machine blocks it",
        ),
    }
}

/// An address to reach what listens at `listen` on this machine.
fn loopback(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Opens the ingress in the daemon's place.
fn free_port(patient: &mut Patient, config: ingress::Config) -> Finding {
    let listen = config.listen;
    let routes = Routes::default();
    let _context = patient.runtime.enter();
    // The receiver is dropped: no media stream is let in, only the probe.
    match Ingress::bind(config, routes.clone(), Arc::new(|| None), Arc::default()) {
        Ok((ingress, _)) => {
            patient.runtime.spawn(ingress.run());
            patient.door = Some(routes);
            Finding::ok(format!("{listen} is free for callbox"))
        }
        Err(BindError::Listen { address, source }) => {
            let fix = match source.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "run as root, or put AmbientCapabilities=CAP_NET_BIND_SERVICE under [Service] \
                     in the unit, or listen above port 1023"
                        .to_owned()
                }
                std::io::ErrorKind::AddrInUse => format!(
                    "`ss -ltnp sport = {}` names the program; stop it, or set [ingress] listen",
                    address.port()
                ),
                _ => "[ingress] listen: choose an address of this machine".to_owned(),
            };
            Finding::fault(format!("callbox cannot listen on {address}: {source}"), fix)
        }
        Err(error) => Finding::told(Level::Fault, &error.to_string(), "see [ingress]"),
    }
}

pub(super) fn round_trip(patient: &mut Patient) -> Vec<Finding> {
    let Some(url) = patient.public_url() else {
        return vec![Finding::skip("there is no address to dial; see above")];
    };
    let probe = match (&patient.door, patient.runs()) {
        (Some(routes), _) => Probe::of_routes(routes),
        (None, true) => Probe::of_daemon(patient),
        (None, false) => return vec![Finding::skip("the ingress is not open; see above")],
    };
    let probe = match probe {
        Ok(probe) => probe,
        Err(why) => {
            return vec![Finding::told(
                Level::Fault,
                &why,
                "systemctl restart callbox",
            )];
        }
    };
    vec![match probe.go(patient, None) {
        Ok(trip) if trip.took > SLOW => Finding::warn(
            went(&url.to_string(), &trip),
            "callbox is reached, but the first words of a call may be lost: look for a slow \
             name server, proxy or tunnel",
        ),
        Ok(trip) => Finding::ok(went(&url.to_string(), &trip)),
        Err(broken) => Finding::fault(
            format!("{url} does not lead here: {broken}"),
            advice(&broken, &patient.file),
        ),
    }]
}

fn went(url: &str, trip: &Trip) -> String {
    format!(
        "{url} leads here by {}, in {:.1} ms",
        trip.address.ip(),
        trip.took.as_secs_f64() * 1e3
    )
}

/// What to do when the way in is broken at this leg.
fn advice(broken: &Broken, file: &File) -> String {
    let listen = file.ingress.listen;
    let mode = file.ingress.mode;
    let proxy = mode != IngressMode::Tls;
    match broken {
        Broken::Name { host, .. } => format!(
            "make a DNS record for {host}, or mend [ingress] public_url; `getent hosts {host}` \
             shows what this machine finds"
        ),
        Broken::Connect { .. } if mode.has_tunnel() => "start what ends TLS at the far end of the \
                                                        tunnel, and open its port in the \
                                                        firewall there"
            .to_owned(),
        Broken::Connect { .. } if proxy => format!(
            "start the proxy or tunnel that forwards the public URL to {listen}, and open its \
             port in the firewall"
        ),
        Broken::Connect { .. } => format!(
            "forward the port from the router to {listen}. Some routers do not lead a device \
             back to itself: try the URL from another network (a phone's) before you search on"
        ),
        Broken::Tls { .. } if proxy => {
            "mend the certificate at the proxy or tunnel; the service accepts public \
             certificates for exactly this name"
                .to_owned()
        }
        Broken::Tls { .. } => "the name must lead to this device; see also ingress above, and \
                               the clock"
            .to_owned(),
        Broken::Status { status: 500.., .. } if mode.has_tunnel() => {
            "the far end is up, but leads nowhere: see tunnel above, and let the proxy there \
             forward to the port that the tunnel opens"
                .to_owned()
        }
        Broken::Status { status: 500.., .. } if proxy => format!(
            "the proxy is up, but does not reach callbox: let it forward to http://{listen}"
        ),
        Broken::Status {
            status: 401 | 403, ..
        } => "the proxy or tunnel demands a login: take that off, for the service has none; \
             callbox itself tells the service by the secret path and the signature"
            .to_owned(),
        Broken::Status {
            status: 300..=399, ..
        } => "the service follows no redirects: put the final address into [ingress] public_url"
            .to_owned(),
        Broken::Status { status: 404, .. } => format!(
            "another device answers, or the proxy changes the path: let it pass every path \
             unchanged to {listen}"
        ),
        Broken::Status { .. } | Broken::NotWebSocket { .. } if proxy => {
            "let the proxy pass WebSockets on: HTTP/1.1 with the headers Upgrade and Connection"
                .to_owned()
        }
        Broken::Status { .. } | Broken::NotWebSocket { .. } | Broken::Stranger { .. } => format!(
            "something else answers at that address: see where the name and the forwarded port \
             lead; callbox listens at {listen}"
        ),
        Broken::Authorities(_) => "[service] ca_file names a file that is of no use".to_owned(),
    }
}

/// A path at which this device answers once.
struct Probe {
    path: String,
    token: String,
}

impl Probe {
    fn of_daemon(patient: &Patient) -> Result<Self, String> {
        let said =
            ask(&patient.file.control.socket, &Request::Probe).map_err(|why| why.to_string())?;
        let text = |key: &str| said[key].as_str().map(str::to_owned);
        match (text("path"), text("token")) {
            (Some(path), Some(token)) => Ok(Self { path, token }),
            _ => Err("the daemon's answer has no probe; is it an older callbox".to_owned()),
        }
    }

    fn of_routes(routes: &Routes) -> Result<Self, String> {
        let mut bytes = [0; 24];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| "the system gives no random numbers".to_owned())?;
        let token = Token::from_random(bytes);
        let probe = Self {
            path: token.probe_path(),
            token: token.as_str().to_owned(),
        };
        routes.open_probe(token);
        Ok(probe)
    }

    /// Through the public URL, or straight to an address of this machine.
    fn go(&self, patient: &Patient, at: Option<SocketAddr>) -> Result<Trip, Broken> {
        let file = &patient.file;
        let here = || WsUrl::parse("ws://localhost").unwrap_or_else(|_| unreachable!("it is one"));
        let route = Route {
            // Only the way to ourselves can be gone without an address.
            url: &patient.public_url().unwrap_or_else(here),
            at,
            plain: at.is_some() && file.ingress.mode != IngressMode::Tls,
            extra_ca: file.service.ca_file.as_deref(),
        };
        patient
            .runtime
            .block_on(dial(route, &self.path, &self.token))
    }
}
