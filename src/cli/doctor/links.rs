//! The network on this side of the service: looked at when the service is not
//! reached, and by the report on a card.

use std::path::Path;

use serde_json::Value;

use super::report::{Finding, Level, Report};
use super::{Patient, Service};
use crate::edge::network::{Link, Radio, State, stranger_at};
use crate::panel::Trouble;
use crate::wire::rest::{ApiError, ConnectFault, Next};

/// Whether it is the network's fault that the service is not reached.
pub(super) fn network(patient: &mut Patient) -> Vec<Finding> {
    let Service::Asked {
        answer: Err(error), ..
    } = &patient.service
    else {
        return Vec::new();
    };
    let base = &patient.file.service.base_url;
    if error.next() != Next::CheckNetwork || base.is_local() {
        return Vec::new();
    }
    let state = State::read(Path::new("/"));
    let found = judge(&state);
    // A name that is not found leads to no page either.
    let asks = !matches!(error, ApiError::Unreachable(ConnectFault::Name));
    let host = base.as_str().split(['/', ':']).nth(3).unwrap_or_default();
    match found.iter().all(|f| f.level == Level::Ok) && asks {
        true => stranger_at(host).map_or(found, |who| vec![login(&who, &state)]),
        false => found,
    }
}

fn login(who: &str, state: &State) -> Finding {
    let way = state
        .links
        .iter()
        .find(|l| Some(&l.name) == state.way_out.as_ref());
    let address = way.map_or("its own", |link| link.address.as_str());
    Finding::fault(
        format!("a login page answers in the service's place: {who}"),
        format!(
            "let the network's keeper admit this device by its hardware address, {address}; or \
             use another network: callbox cannot fill in a page"
        ),
    )
    .shown_as(Some(Trouble::Blocked))
}

/// The same for a card's report, from the system below `root`: a sentence a
/// link, and the findings as `doctor --json` shows them.
pub(in crate::cli) fn of_system(root: &Path) -> (Vec<String>, Value) {
    let state = State::read(root);
    let mut report = Report::default();
    report.add("network", judge(&state));
    let links = state.links.iter().map(sentence);
    (links.collect(), report.json()["findings"].take())
}

/// How far it goes, up to the name server.
fn judge(state: &State) -> Vec<Finding> {
    if let Some(way_out) = &state.way_out {
        return vec![match state.has_names {
            true => Finding::ok(format!("there is a way out by {way_out}")),
            false => Finding::fault(
                format!("there is a way out by {way_out}, but nobody to ask for names"),
                "let the router name a DNS server to its devices (DHCP), then restart this one",
            ),
        }];
    }
    if state.links.is_empty() {
        return vec![Finding::fault(
            "this device has neither a network socket nor a radio that works",
            "plug in an adapter that Linux knows; `ip link` lists them",
        )];
    }
    let up: Vec<&str> = (state.links.iter().filter(|link| link.up))
        .map(|link| link.name.as_str())
        .collect();
    if !up.is_empty() {
        let own = match state.own_address {
            true => " (it made one up itself)",
            false => "",
        };
        return vec![Finding::fault(
            format!("{} is connected, but gets no address{own}", up.join(", ")),
            "see that the router hands out addresses (DHCP) and has some left, and lets new \
             devices in; then restart it",
        )];
    }
    let mut radios: Vec<Finding> = state.links.iter().filter_map(radio).collect();
    if radios.is_empty() {
        radios.push(Finding::fault(
            "no cable leads anywhere",
            "plug the cable in at both ends; its lamps should light",
        ));
    }
    radios
}

fn radio(link: &Link) -> Option<Finding> {
    let Link { name, radio, .. } = link;
    Some(match radio.as_ref()? {
        Radio::Joined(_) | Radio::Unknown => Finding::fault(
            format!("{name} is not connected, and no cable leads anywhere"),
            "plug in a cable, or see to the Wi-Fi",
        ),
        Radio::NoNetwork => Finding::fault(
            format!("no cable leads anywhere, and {name} was given no network"),
            "plug in a cable, or write the network's name and password into wifi.txt on the card",
        ),
        Radio::Refused(ssid) => Finding::fault(
            format!("{name}: {ssid} turns this device away; most likely the password is wrong"),
            "write the password into wifi.txt again: capitals and spaces count",
        )
        .shown_as(Some(Trouble::Wifi)),
        Radio::WantsWpa3(ssid) => Finding::fault(
            format!("{name}: {ssid} takes WPA3 only"),
            "set the access point to \"WPA2 and WPA3\"; or write the password again with \
             security = \"wpa3\" in wifi.txt, if this radio knows it",
        )
        .shown_as(Some(Trouble::Wifi)),
        Radio::NotHeard { names, others } => Finding::fault(
            format!(
                "{name}: {} is not heard; {others} others are",
                names.join(" or ")
            ),
            "compare the name in wifi.txt letter by letter; bring the access point nearer; let it \
             send on 2.4 GHz too; if it is hidden write hidden = true",
        ),
        Radio::Trying(ssid) => Finding::fault(
            format!("{name}: {ssid} is heard, but the connection is not made yet"),
            "wait a minute; if it stays so, write the password into wifi.txt again",
        ),
    })
}

/// A link in words.
fn sentence(link: &Link) -> String {
    let Link { name, address, .. } = link;
    let how = match (&link.radio, link.up) {
        (None, true) => "a cable that leads somewhere".to_owned(),
        (None, false) => "no cable, or nothing at its other end".to_owned(),
        (Some(Radio::Joined(ssid)), _) => format!("Wi-Fi, in the network {ssid}"),
        (Some(Radio::NoNetwork), _) => "Wi-Fi, without a network in wifi.txt".to_owned(),
        (Some(Radio::Refused(ssid)), _) => format!("Wi-Fi, turned away by {ssid}"),
        (Some(Radio::WantsWpa3(ssid)), _) => format!("Wi-Fi; {ssid} takes WPA3 only"),
        (Some(Radio::NotHeard { names, .. }), _) => {
            format!("Wi-Fi; does not hear {}", names.join(" or "))
        }
        (Some(Radio::Trying(ssid)), _) => format!("Wi-Fi, on the way into {ssid}"),
        (Some(Radio::Unknown), true) => "Wi-Fi, connected".to_owned(),
        (Some(Radio::Unknown), false) => "Wi-Fi, not connected".to_owned(),
    };
    format!("{name} ({address}): {how}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(up: bool, radio: Option<Radio>) -> State {
        let link = Link {
            name: "wlan0".into(),
            address: "b8:27:eb:00:00:01".into(),
            up,
            radio,
        };
        State {
            links: vec![link],
            has_names: true,
            ..State::default()
        }
    }

    #[test]
    fn each_leg_that_breaks_has_its_sentence_and_its_lamp() {
        let home = || "home".to_owned();
        let way_out = |has_names| State {
            way_out: Some("wlan0".into()),
            has_names,
            ..state(true, None)
        };
        let not_heard = Radio::NotHeard {
            names: vec![home()],
            others: 4,
        };
        let own = State {
            own_address: true,
            ..state(true, None)
        };
        use Trouble::{Network, Wifi};
        let cases = [
            (way_out(true), "way out by wlan0", None),
            (way_out(false), "nobody to ask for names", Some(Network)),
            (
                State::default(),
                "neither a network socket nor",
                Some(Network),
            ),
            (state(true, None), "gets no address", Some(Network)),
            (own, "made one up itself", Some(Network)),
            (state(false, None), "no cable", Some(Network)),
            (
                state(false, Some(Radio::Refused(home()))),
                "password is wrong",
                Some(Wifi),
            ),
            (
                state(false, Some(Radio::WantsWpa3(home()))),
                "WPA3 only",
                Some(Wifi),
            ),
            (
                state(false, Some(not_heard)),
                "home is not heard; 4 others",
                Some(Network),
            ),
            (
                state(false, Some(Radio::Trying(home()))),
                "not made yet",
                Some(Network),
            ),
            (
                state(false, Some(Radio::NoNetwork)),
                "was given no network",
                Some(Network),
            ),
            (
                state(false, Some(Radio::Unknown)),
                "not connected",
                Some(Network),
            ),
        ];
        for (state, what, lamp) in cases {
            let mut report = Report::default();
            report.add("network", judge(&state));
            let found = report.json()["findings"].take();
            assert!(found[0]["what"].as_str().unwrap().contains(what), "{found}");
            assert_eq!(
                found[0]["lamp"].as_str(),
                lamp.map(Trouble::name),
                "{found}"
            );
        }
    }

    #[test]
    fn a_login_page_names_the_address_to_be_let_in() {
        let state = State {
            way_out: Some("wlan0".into()),
            ..state(true, None)
        };
        let found = login("login.hotel.example", &state);
        assert!(found.what.contains("login.hotel.example"));
        assert!(found.fix.unwrap().contains("b8:27:eb:00:00:01"));
    }
}
