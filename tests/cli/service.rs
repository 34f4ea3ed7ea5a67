//! `callbox service`: the account's numbers shown, and what becomes of calls
//! to this device set, against a service that keeps what it is told.

use callbox::simulator::{Fault, NUMBER, NUMBER_ID, Route};

use crate::support::{Folder, Service, http, stranger};

/// A device whose signing key is there, and which takes calls.
fn takes_calls(folder: &Folder, base_url: &str) -> String {
    let key = folder.write("signing-key", "whsec_of_a_test");
    let signed = format!("[service]\nsigning_key_file = \"{}\"", key.display());
    let config = folder.config(base_url).replace("[service]", &signed);
    format!("{config}[inbound]\naction = \"chime\"\nallow = [\"+15005550123\"]\n")
}

/// The token callbox drew.
fn token(folder: &Folder) -> String {
    let path = folder.path.join("store/inbound-token");
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn numbers_are_shown_masked_and_this_devices_is_marked() {
    let (service, folder) = (Service::start(), Folder::new());
    let config = folder.config(&service.handle.base_url());
    let said = folder.callbox("service show", &config);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let ours = said
        .out
        .lines()
        .find(|line| line.starts_with("* "))
        .unwrap();
    for want in ["+…100", NUMBER_ID, "auto_reject", "none"] {
        assert!(ours.contains(want), "no {want:?} in {ours}");
    }
    assert!(!said.out.contains(NUMBER), "{}", said.out);
    let said = folder.callbox("service show --numbers", &config);
    assert!(said.out.contains(NUMBER), "{}", said.out);
    let other = config.replace(NUMBER, "+15005550177");
    let said = folder.callbox("service show", &other);
    assert!(
        said.out
            .contains("none of them is this device's from_number, +…177"),
        "{}",
        said.out
    );
}

#[test]
fn nothing_is_changed_without_a_yes() {
    let (service, folder) = (Service::start(), Folder::new());
    let config = takes_calls(&folder, &service.handle.base_url());
    let said = folder.callbox("service apply", &config);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(
        said.out.contains("- incoming_call_action = auto_reject"),
        "{said:#?}"
    );
    assert!(
        said.out.contains("+ incoming_call_action = auto_accept"),
        "{said:#?}"
    );
    assert!(said.err.contains("nothing was changed"), "{said:#?}");
    assert!(said.err.contains("--yes"), "{said:#?}");
    let shown = folder.callbox("service show", &config);
    assert!(shown.out.contains("auto_reject"), "{shown:#?}");
}

#[test]
fn what_inbound_says_is_set_once_and_taken_back() {
    let (service, folder) = (Service::start(), Folder::new());
    let base = service.handle.base_url();
    let config = takes_calls(&folder, &base);
    let set = folder.callbox("service apply --yes", &config);
    assert_eq!(set.code, Some(0), "{set:#?}");
    assert!(set.out.contains("done: it is auto_accept"), "{set:#?}");
    let shown = folder.callbox("service show", &config);
    let stream = format!("ws://{}/…", folder.listen);
    assert!(shown.out.contains(&stream), "{shown:#?}");
    // The secret path is at the service, and in nothing that was printed.
    let secret = token(&folder);
    for said in [&set, &shown] {
        assert!(!said.out.contains(&secret) && !said.err.contains(&secret));
    }

    let again = folder.callbox("service apply", &config);
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert!(again.out.contains("nothing to do"), "{again:#?}");

    // A new token is another path of the same host.
    folder.write("store/inbound-token", "x".repeat(32));
    let moved = folder.callbox("service apply --yes", &config);
    assert!(moved.out.contains("(another path)"), "{moved:#?}");
    assert!(!moved.out.contains("incoming_call_action"), "{moved:#?}");

    let refuse = config.replace("\"chime\"", "\"refuse\"");
    let back = folder.callbox("service apply --yes", &refuse);
    assert!(
        back.out.contains("+ incoming_call_action = auto_reject"),
        "{back:#?}"
    );
    assert!(!back.out.contains("client_websocket_url"), "{back:#?}");
    assert_eq!(back.code, Some(0), "{back:#?}");
}

#[test]
fn calls_are_not_let_in_without_a_signing_key() {
    let (service, folder) = (Service::start(), Folder::new());
    let config = takes_calls(&folder, &service.handle.base_url());
    let unsigned = config.replace("signing_key_file", "ca_file");
    let said = folder.callbox("service apply --yes", &unsigned);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("needs a signing key"), "{said:#?}");
}

#[test]
fn a_service_that_forgets_what_it_took_is_told() {
    let folder = Folder::new();
    let number =
        format!(r#"{{"id":"{NUMBER_ID}","number":"{NUMBER}","incoming_call_action":"webhook"}}"#);
    let service = stranger(move |_| http("200 OK", "Content-Type: application/json\r\n", &number));
    let config = folder.config(&format!("http://{service}"));
    let said = folder.callbox("service apply --yes", &config);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(
        said.out.contains("- incoming_call_action = webhook"),
        "{said:#?}"
    );
    assert!(said.err.contains("did not keep it"), "{said:#?}");
}

/// Whatever is answered in the service's place, it is said what it was, and
/// nobody claims that something was set.
#[test]
fn a_setting_that_is_not_taken_is_told_in_words() {
    let elsewhere = "http://login.example/".to_owned();
    for (route, fault, want) in [
        (Route::UpdateNumber, Fault::Status(403), "Simulated fault"),
        (Route::UpdateNumber, Fault::Status(404), "Simulated fault"),
        (Route::UpdateNumber, Fault::Status(422), "Simulated fault"),
        (Route::UpdateNumber, Fault::Status(500), "has a fault"),
        (Route::UpdateNumber, Fault::NotJson(502), "502"),
        (Route::UpdateNumber, Fault::CaptivePortal, "login page"),
        (Route::UpdateNumber, Fault::Redirect(elsewhere), "redirects"),
        (Route::UpdateNumber, Fault::AnotherOne, "another number"),
        (Route::UpdateNumber, Fault::Truncated, "broke off"),
        (Route::Numbers, Fault::Truncated, "broke off"),
        (Route::Numbers, Fault::CaptivePortal, "login page"),
        (Route::Numbers, Fault::NotJson(200), "JSON"),
        (Route::Numbers, Fault::Status(401), "key"),
    ] {
        let told = format!("{route:?}, {fault:?}");
        let (service, folder) = (Service::start(), Folder::new());
        let config = takes_calls(&folder, &service.handle.base_url());
        service.handle.fault(route, fault, 9);
        let said = folder.callbox("service apply --yes", &config);
        assert_eq!(said.code, Some(1), "{told}: {said:#?}");
        assert!(said.err.contains(want), "{told}: {said:#?}");
        assert!(!said.out.contains("done"), "{told}: {said:#?}");
        let secret = token(&folder);
        assert!(!said.err.contains(&secret), "{told}: {said:#?}");
    }
}

#[test]
fn an_account_without_this_number_is_told_so() {
    let (service, folder) = (Service::start(), Folder::new());
    let config = takes_calls(&folder, &service.handle.base_url());
    let other = config.replace(NUMBER, "+15005550177");
    for config in [
        other.clone(),
        other.replace("phone_number_id", "#phone_number_id"),
    ] {
        let said = folder.callbox("service apply --yes", &config);
        assert_eq!(said.code, Some(1), "{said:#?}");
        assert!(said.err.contains("+…177"), "{said:#?}");
        let number = service.handle.number(NUMBER_ID).unwrap();
        assert_eq!(number.client_websocket_url, None);
    }
}
