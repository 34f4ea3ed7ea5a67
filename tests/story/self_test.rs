//! The device tests its own sound, and lets go of it when somebody comes.

use std::sync::Arc;
use std::time::Duration;

use callbox::audio::BUS_RATE;
use callbox::audio::probe::Take;
use callbox::audio::sweep::Sweep;
use callbox::call::Phase;
use callbox::daemon::{SelfTestPlan, Setup};
use callbox::edge::clock::Stamp;
use callbox::edge::sound_test::{Cards, Report};
use callbox::edge::virtual_card::Broken;
use callbox::edge::zone::Zone;
use callbox::panel::Trouble;
use callbox::simulator::{Says, speech};

use crate::kit::{Device, Service, says, service_with};

/// Longer than a device takes to start and to have its clock confirmed.
const START: Duration = Duration::from_secs(15);

/// The time of day at which it tests itself is now, or will be in a moment.
fn is_due(setup: &mut Setup) {
    let sweep = Sweep::new(BUS_RATE);
    let take = Take::new(sweep.samples(), sweep.listen());
    setup.audio.probe = Some(Arc::clone(&take));
    setup.timezone = Zone::named("UTC").unwrap();
    let soon = setup.timezone.local(Stamp::system().plus(START));
    setup.self_test = Some(SelfTestPlan {
        at: soon.clock().parse().unwrap(),
        take,
        cards: Cards::default(),
        path: setup.report.clone(),
    });
}

fn device(service: &Service) -> Device {
    Device::start(service, is_due)
}

fn tells(device: &Device, words: &str) -> bool {
    let status = device.status();
    let mut events = status["trace"].as_array().unwrap().iter();
    events.any(|event| event.as_str().unwrap().contains(words))
}

#[test]
fn the_result_is_kept_shown_and_lights_the_lamp_when_it_is_bad() {
    let service = Service::start(service_with(says(Says::Forever(speech::callee().into()))));
    let device = device(&service);
    device.visitor.breaks(Some(Broken::Deaf));
    device.wait_until("the test", |device| {
        device.status()["sound_test"].is_object()
    });
    let status = device.status();
    let said = status["sound_test"]["result"].as_str().unwrap();
    assert_eq!(said, "the microphone does not hear the speaker");
    let trouble = Trouble::Sound.means();
    device.wait_until("the lamp", |device| tells(device, trouble));
}

#[test]
fn a_press_ends_it_and_the_call_goes_first() {
    let service = Service::start(service_with(says(Says::Forever(speech::callee().into()))));
    let mut device = device(&service);
    device.wait_until("the test", |device| tells(device, "sound test begun"));
    device.press();
    device.wait_for(Phase::Answered);
    assert!(tells(&device, "sound test ended by a call"));
    assert!(device.status()["sound_test"].is_null());
    assert!(service.handle.hang_up(&service.call().id));
    device.record();
}

#[test]
fn a_card_that_is_well_passes_and_a_restart_remembers() {
    let service = Service::start(service_with(says(Says::Forever(speech::callee().into()))));
    let mut kept = None;
    let device = Device::start(&service, |setup| {
        is_due(setup);
        kept = Some(setup.report.clone());
    });
    device.wait_until("the test", |device| {
        device.status()["sound_test"].is_object()
    });
    let status = device.status();
    assert_eq!(status["sound_test"]["result"], "passed", "{status}");
    let report = Report::load(&kept.unwrap()).unwrap();
    let delay = report.delay_ms.unwrap();
    assert!((delay - 20.0).abs() < 0.2, "{delay} ms");
    let loss = report.echo_loss_db.unwrap();
    assert!((loss - 18.1).abs() < 0.5, "{loss} dB");
}
