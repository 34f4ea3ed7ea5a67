//! Every encoding a stream can have, both ways.

use callbox::call::Phase;
use callbox::simulator::{ByteOrder, Encoding};

use crate::kit::{Device, Folder, Installed, Service, is_heard, service_with, talks};

fn is_spoken(encoding: Encoding, on_record: &str) {
    let mut config = service_with(talks(30));
    config.service.encoding = encoding;
    let service = Service::start(config);
    let mut device = Device::start(&service, |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    is_heard(&device, &service, &service.call().id);
    device.hang_up();
    assert_eq!(device.record().codec.as_deref(), Some(on_record));
}

#[test]
fn a_law_is_spoken() {
    is_spoken(Encoding::Pcma, "PCMA/8000");
}

#[test]
fn linear_sound_is_spoken_at_each_rate() {
    for rate in [8_000, 16_000, 24_000] {
        let order = ByteOrder::Big;
        is_spoken(Encoding::L16 { rate, order }, &format!("L16/{rate}"));
    }
}

#[test]
fn opus_is_spoken() {
    is_spoken(Encoding::Opus { rate: 48_000 }, "OPUS/48000");
}

/// The order of the bytes is the installer's to say.
#[test]
fn the_other_byte_order_is_spoken() {
    let mut config = service_with(talks(30));
    config.service.encoding = Encoding::L16 {
        rate: 16_000,
        order: ByteOrder::Little,
    };
    let service = Service::start(config);
    let installed = Installed::plain(service.handle.base_url());
    let little = "[sound]\nl16_byte_order = \"little\"";
    let mut device = Device::start_as(&installed.with(little), Folder::new().into(), |_| {});
    device.press();
    device.wait_for(Phase::Answered);
    device.hears();
    is_heard(&device, &service, &service.call().id);
}
