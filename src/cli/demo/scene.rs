//! What can be shown: who is called, what they do, and the part of the
//! installer's file it takes.
//!
//! Times of a callee count from the moment they can be heard: with a list that
//! asks for a key, and while a call from outside chimes, that is before the
//! two hear each other.

use std::time::Duration;

use clap::ValueEnum;

use crate::simulator::{Answer, Callee, Carried, HangsUp, Says, speech};

/// Whom the button calls first: a fictitious number, as all here.
const CALLEE: &str = "+15005550199";
/// Whom it calls next.
const NEXT: &str = "+15005550198";
/// Who calls the device.
pub(super) const CALLER: &str = "+15005550177";

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Scene {
    /// One number, and two people who talk
    Call,
    /// Two numbers: at the first a machine answers, at the second somebody
    /// presses the key that shows a person is there
    List,
    /// The callee opens the door with the keys of the telephone
    Door,
    /// An alarm: the service speaks a text, and writes down what is answered
    Announce,
    /// Somebody calls the intercom: it chimes, and then the two talk
    Inbound,
}

/// A scene, ready to be made.
pub(super) struct Script {
    /// What it is about, in a line.
    pub(super) about: &'static str,
    /// How it begins.
    pub(super) begins: Begins,
    /// The numbers of the button in turn, or who calls, and what is done there.
    pub(super) people: Vec<(&'static str, Callee)>,
    /// Keys of the button, beside its name and numbers.
    pub(super) button: &'static str,
    /// More sections of the file.
    pub(super) sections: &'static str,
    /// What the visitor says, once somebody hears it.
    pub(super) visitor: Visitor,
}

/// How a scene begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// With a finger on the button.
    Press,
    /// With a call from outside.
    Call,
}

/// What the visitor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visitor {
    /// Talks with whoever is there.
    Talks,
    /// Is not needed.
    IsSilent,
}

impl Scene {
    /// Who does what.
    pub(super) fn script(self) -> Script {
        let talk = Script {
            about: "one number, and two people who talk",
            begins: Begins::Press,
            people: vec![(CALLEE, Callee::default())],
            button: "",
            sections: "",
            visitor: Visitor::Talks,
        };
        match self {
            Self::Call => talk,
            Self::List => Script {
                about: "a list of two numbers: a machine takes the first call, a person the second",
                people: vec![(CALLEE, machine()), (NEXT, person("1"))],
                button: "confirm = \"1\"",
                ..talk
            },
            Self::Door => Script {
                about: "the callee types 42#, and the door opens",
                people: vec![(CALLEE, types("42#"))],
                sections: "[[door]]\n\
                           name = \"front door\"\n\
                           line = \"GPIO22\"\n\
                           pulse_ms = 800\n\
                           code = \"42#\"\n",
                ..talk
            },
            Self::Announce => Script {
                about: "an alarm that speaks, until somebody confirms it with a key",
                people: vec![(CALLEE, listens())],
                button: "kind = \"announce\"\n\
                         say = \"Somebody is stuck in the lift at {place}.\"\n\
                         repeat = 3\n\
                         confirm = \"1\"\n\
                         inkbox_stt = true",
                sections: "[place]\n\
                           name = \"Mill Lane 3\"\n",
                visitor: Visitor::IsSilent,
                ..talk
            },
            Self::Inbound => Script {
                about: "somebody calls the intercom, which chimes before it answers",
                begins: Begins::Call,
                people: vec![(CALLER, speaks_after(ms(5100)))],
                sections: "[inbound]\n\
                           action = \"chime\"\n\
                           allow = [\"+15005550177\"]\n",
                ..talk
            },
        }
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A machine that picks up and talks on, until it is found out.
fn machine() -> Callee {
    Callee {
        answer: Answer::Voicemail(ms(1500)),
        says: Says::Forever(speech::callee().into()),
        hangs_up: HangsUp::Never,
        ..Callee::default()
    }
}

/// Somebody who does as the prompt says, and then talks.
fn person(key: &str) -> Callee {
    speaks_after(ms(2200)).pressing(ms(2000), key)
}

/// Somebody who hears out the visitor, and types while they answer.
fn types(code: &str) -> Callee {
    let mut callee = Callee::default().pressing(ms(5600), code);
    callee.keys.carried = Carried::Both;
    callee
}

/// Somebody who answers in words of which the service makes text, and confirms.
fn listens() -> Callee {
    Callee {
        says: Says::Silence,
        hangs_up: HangsUp::Never,
        ..Callee::default()
    }
    .saying(ms(4500), "Understood, I am on my way.")
    .pressing(ms(6500), "1")
}

/// Somebody who says nothing at first.
fn speaks_after(pause: Duration) -> Callee {
    let pause = pause.as_millis() as usize * speech::RATE as usize / 1000;
    let mut words = vec![0; pause];
    words.extend(speech::callee());
    Callee::speaking(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scene_has_people_and_a_line_about_it() {
        for scene in Scene::value_variants() {
            let script = scene.script();
            assert!(!script.people.is_empty(), "{scene:?}");
            assert!(script.about.len() < 80, "{scene:?}");
        }
    }
}
