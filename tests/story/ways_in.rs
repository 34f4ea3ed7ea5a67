//! The ways a stream comes in: signed, forged, and over the device's own TLS.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

use callbox::call::Phase;
use callbox::edge::ingress::HANDSHAKES_MAX;
use callbox::simulator::{Status, What};

use crate::kit::{Device, Folder, Installed, Service, address, is_heard, ms, service_with, talks};

const KEY: &str = "whsec_c3RvcmllcyBhcmUgc2lnbmVk";

#[test]
fn a_signed_handshake_is_let_in() {
    let mut config = service_with(talks(1));
    config.service.signing_key = Some(KEY.into());
    let service = Service::start(config);
    let folder = Arc::new(Folder::new());
    let installed = signed(&service, &folder, KEY);
    let mut device = Device::start_as(&installed, folder, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    assert!(service.handle.hang_up(&service.call().id));
    device.record();
    assert_eq!(device.counter("handshakes_forged"), 0);
}

#[test]
fn a_forged_handshake_is_refused_and_its_call_hung_up() {
    let mut config = service_with(talks(1));
    config.service.signing_key = Some("another key".into());
    let service = Service::start(config);
    let folder = Arc::new(Folder::new());
    let installed = signed(&service, &folder, KEY);
    let mut device = Device::start_as(&installed, folder, |setup| {
        setup.call.stream_within = ms(800);
    });
    device.press();
    device.wait_for(Phase::Answered);
    service.wait("refused", |e| matches!(e.what, What::MediaRefused(_)));
    device.wait_for(Phase::Failed);
    let record = device.record();
    let why = "answered, but no media stream came";
    assert_eq!(record.local_reason.as_deref(), Some(why));
    assert_eq!(record.stream_at, None);
    assert_eq!(device.counter("handshakes_forged"), 1);
    assert_eq!(service.call().status, Status::Completed);
}

fn signed(service: &Service, folder: &Folder, key: &str) -> Installed {
    let key = folder.write("signing-key", key);
    Installed {
        service: format!("signing_key_file = \"{}\"", key.display()),
        ..Installed::plain(service.handle.base_url())
    }
}

#[test]
fn a_call_over_the_devices_own_certificate_is_heard() {
    let listen: SocketAddr = address().parse().unwrap();
    let host: IpAddr = listen.ip();
    let certified = rcgen::generate_simple_self_signed([host.to_string()]).unwrap();
    let folder = Arc::new(Folder::new());
    let certificate = folder.write("certificate.pem", &certified.cert.pem());
    let key = folder.write("key.pem", &certified.signing_key.serialize_pem());
    let mut config = service_with(talks(1));
    config.service.extra_ca_pem = Some(certified.cert.pem());
    let service = Service::start(config);
    let installed = Installed {
        ingress: format!(
            "mode = \"tls\"\npublic_url = \"wss://{listen}\"\nlisten = \"{listen}\"\n\
             certificate = \"{}\"\nprivate_key = \"{}\"",
            certificate.display(),
            key.display()
        ),
        ..Installed::plain(service.handle.base_url())
    };
    let mut device = Device::start_as(&installed, folder, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    let call = service.call();
    assert!(call.url.as_ref().unwrap().starts_with("wss://"));
    is_heard(&device, &service, &call.id);
    assert!(service.handle.hang_up(&call.id));
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
}

/// Connections that say nothing take all places at the door.
#[test]
fn idlers_at_the_door_do_not_keep_the_service_out() {
    let service = Service::start(service_with(talks(1)));
    let installed = Installed::plain(service.handle.base_url());
    let folder = Arc::new(Folder::new());
    let mut listen = None;
    let mut device = Device::start_as(&installed, folder, |setup| {
        listen = Some(setup.ingress.listen);
    });
    let listen = listen.unwrap();
    let idlers: Vec<_> = (0..HANDSHAKES_MAX)
        .map(|_| TcpStream::connect(listen).unwrap())
        .collect();
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    assert!(service.handle.hang_up(&service.call().id));
    let record = device.record();
    assert_eq!(record.local_reason.as_deref(), Some("the far end hung up"));
    drop(idlers);
}
