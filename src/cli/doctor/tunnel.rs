//! The tunnel that callbox keeps up, where `[ingress]` names one.
//!
//! The running daemon's word is taken for its own. Without it, the tunnel is
//! brought up here for as long as the round trip needs it; the service's own is
//! left alone while another device has it, since that one would lose its calls.

use std::time::Duration;

use super::Patient;
use super::report::{Finding, Level};
use crate::cli::text::span;
use crate::config::IngressMode;
use crate::edge::tunnel::{Media, Signs, State, Status, Tunnel};

/// How long a tunnel is waited for. It has a minute in earnest; an installer
/// who waits wants to hear what is wrong.
const UP_WITHIN: Duration = Duration::from_secs(20);
/// A tunnel that was started so often is not well, though it may be up.
const STARTS: u64 = 5;

pub(super) fn tunnel(patient: &mut Patient) -> Vec<Finding> {
    let mode = patient.file.ingress.mode;
    if !mode.has_tunnel() {
        return Vec::new();
    }
    if patient.runs() {
        return of_daemon(patient, mode);
    }
    let Some(routes) = patient.door.clone() else {
        return vec![Finding::skip(
            "not tried: the ingress is not open; see above",
        )];
    };
    let config = match patient.file.tunnel() {
        Ok(Some(config)) => config,
        Ok(None) => return Vec::new(),
        Err(why) => return vec![Finding::told(Level::Fault, &why, "see secrets above")],
    };
    let mut found: Vec<Finding> = account(patient).into_iter().collect();
    if found.iter().any(|f| f.level == Level::Fault) {
        return found;
    }
    let door = patient.file.ingress.listen;
    let tunnel = match Tunnel::start(config, door, routes, std::sync::Arc::default()) {
        Ok(tunnel) => tunnel,
        Err(why) => {
            let what = format!("it cannot be started: {why}");
            found.push(Finding::fault(
                what,
                "try again; the machine is short of something",
            ));
            return found;
        }
    };
    tunnel.tell(Signs {
        online: true,
        media: Media::None,
    });
    let status = patient.runtime.block_on(settled(&tunnel));
    found.push(verdict(&status, mode));
    patient.tunnel = Some(tunnel);
    found
}

/// Ends the tunnel that was started here.
pub(super) fn end(patient: &mut Patient) {
    if let Some(tunnel) = patient.tunnel.take() {
        patient.runtime.block_on(tunnel.stop());
    }
}

/// Waits until it is known how the tunnel is.
async fn settled(tunnel: &Tunnel) -> Status {
    let mut status = tunnel.watch();
    let known = status.wait_for(|s| s.state != State::Starting);
    // Late, or its thread is gone: what is known is all there is.
    _ = tokio::time::timeout(UP_WITHIN, known).await;
    tunnel.status()
}

fn verdict(status: &Status, mode: IngressMode) -> Finding {
    match &status.state {
        State::Up => Finding::ok("came up when it was started here"),
        State::Starting => {
            let why = match &status.trip {
                Some(Err(why)) => why.as_str(),
                _ => "no answer",
            };
            let what = format!("it runs, but nothing comes through it: {why}");
            Finding::fault(what, open(mode))
        }
        // What a program said is not to be taken for advice.
        State::Down(why) => Finding::fault(format!("it is down: {why}"), mend(mode)),
        State::Refused(why) => {
            let what = format!("the service refuses it: {why}");
            Finding::told(Level::Fault, &what, SERVICE)
        }
        State::Superseded => Finding::fault(TAKEN, OWN),
    }
}

const TAKEN: &str = "another device has taken it over, and gets the calls of this one";
const OWN: &str = "give each device an agent identity of its own, and its name in [ingress] \
                   tunnel; then systemctl restart callbox on this one";
const SERVICE: &str = "see [ingress] tunnel and the API key; the service's console shows both";

/// What to do about a tunnel that does not run.
fn mend(mode: IngressMode) -> &'static str {
    match mode {
        IngressMode::Inkbox => "see service above, and that the firewall lets port 443 out",
        _ => {
            "run [ingress] command by hand, as the user callbox runs as and without a terminal \
             (< /dev/null): it must stay, and ask for nothing. For ssh: a key without a \
             passphrase, the relay's key in known_hosts, and nobody else on the relay's port"
        }
    }
}

/// What to do about a tunnel that runs and does not carry.
fn open(mode: IngressMode) -> &'static str {
    match mode {
        IngressMode::Inkbox => {
            "try again in a minute; else see the tunnel in the service's console"
        }
        _ => {
            "[ingress] command must forward to {port} of this machine, and the proxy at the far \
             end of the tunnel from public_url to the port which the tunnel opens there"
        }
    }
}

fn of_daemon(patient: &Patient, mode: IngressMode) -> Vec<Finding> {
    let text = |key: &str| patient.status(key).as_str();
    let Some(state) = text("/tunnel/state") else {
        return vec![Finding::warn(
            "the running callbox keeps no tunnel: it was started with another configuration",
            "systemctl restart callbox",
        )];
    };
    let since = patient.status("/tunnel/since_s").as_u64().unwrap_or(0);
    let since = span(Duration::from_secs(since));
    let starts = patient.status("/tunnel/starts").as_u64().unwrap_or(0);
    vec![match state.split(':').next() {
        Some("up") if starts >= STARTS => Finding::warn(
            format!("up for {since}, but it was started {starts} times"),
            "`journalctl -u callbox | grep tunnel` says why; a mobile network may end \
             connections that are silent, which keep-alives prevent",
        ),
        Some("up") if starts > 1 => Finding::ok(format!("up for {since}, started {starts} times")),
        Some("up") => Finding::ok(format!("up for {since}")),
        Some("starting") => match text("/tunnel/round_trip") {
            Some(why) => Finding::fault(
                format!("it runs for {since}, but nothing comes through it: {why}"),
                open(mode),
            ),
            None => Finding::skip("it is being started; ask again in a minute"),
        },
        Some("taken over by another device") => Finding::fault(TAKEN, OWN),
        Some("refused") => Finding::told(Level::Fault, state, SERVICE),
        _ => Finding::fault(state, mend(mode)),
    }]
}

/// What the service says of its tunnel before this device takes it up.
#[cfg(feature = "tunnel")]
fn account(patient: &Patient) -> Option<Finding> {
    use crate::edge::tunnel::vendor::{Unusable, look_up};
    if patient.file.ingress.mode != IngressMode::Inkbox {
        return None;
    }
    let config = match patient.file.vendor() {
        Ok(config) => config,
        Err(why) => return Some(Finding::told(Level::Fault, &why, "see secrets above")),
    };
    Some(match look_up(&config) {
        Ok(account) if account.connected == Some(true) => Finding::told(
            Level::Fault,
            &format!(
                "the tunnel {} is up, and not by this device; it is left alone",
                account.name
            ),
            "wait a minute if callbox was just stopped here; else give this device an agent \
             identity of its own, and its name in [ingress] tunnel",
        ),
        Ok(account) => Finding::ok(format!(
            "the tunnel {} is this device's, at {}",
            account.name, account.public_url
        )),
        Err(Unusable::Now(why)) => Finding::told(Level::Fault, &why, "see service above"),
        Err(Unusable::Refused(why)) => Finding::told(Level::Fault, &why, SERVICE),
    })
}

#[cfg(not(feature = "tunnel"))]
fn account(_: &Patient) -> Option<Finding> {
    None
}
