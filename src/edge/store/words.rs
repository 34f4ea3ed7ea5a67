//! The record's own words: small sets, one word each in the database, in
//! exports and on the command line.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

/// Makes an enum of words, each with its text.
macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident ($what:literal) {
        $($(#[doc = $item_doc:literal])+ $item:ident = $word:literal,)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $item_doc])+ $item,)+
        }

        impl $name {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$item),+];

            /// The word in the database and in exports.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$item => $word,)+
                }
            }

            /// The one with this word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let word = value.as_str()?;
                Self::parse(word).ok_or_else(|| unreadable(word, $what))
            }
        }
    };
}

words! {
    /// Who called whom.
    Direction ("direction") {
        /// The device called.
        Outbound = "outbound",
        /// The device was called.
        Inbound = "inbound",
    }
}

words! {
    /// What the call was for.
    Kind ("kind of call") {
        /// Two people talk.
        Talk = "talk",
        /// The device says a text.
        Announce = "announce",
    }
}

words! {
    /// What became of an attempt, in one word.
    Outcome ("outcome") {
        /// It is not over.
        Open = "open",
        /// Somebody answered, and confirmed where that was asked for.
        Answered = "answered",
        /// The text was said to its end.
        Announced = "announced",
        /// Nobody answered in time.
        Unanswered = "unanswered",
        /// Answered, and the key that was asked for was not pressed.
        Unconfirmed = "unconfirmed",
        /// A machine answered.
        Voicemail = "voicemail",
        /// The callee declined; of an inbound call, the device did.
        Rejected = "rejected",
        /// Ended before the answer, at the device or by the service.
        Cancelled = "cancelled",
        /// It could not be connected, or carried no sound.
        Failed = "failed",
        /// The service took no call on.
        Refused = "refused",
        /// A limit of the device said no: nothing was sent.
        Limited = "limited",
        /// Neither the device nor the service can tell.
        Unknown = "unknown",
    }
}

words! {
    /// Whether the service's own record of a call is in the row.
    Reconciled ("state of reconciliation") {
        /// Not yet: the service is to be asked. A closed row that says nothing
        /// counts as this.
        Pending = "pending",
        /// The service's final word is in the row.
        Done = "done",
        /// The service was asked and knows no such call.
        Absent = "absent",
        /// Nothing to ask: no request ever left the device.
        NotSent = "not_sent",
    }
}

words! {
    /// Whether the service's transcript of a call is in the record. A row that
    /// says nothing was not asked for yet.
    Transcribed ("state of a transcript") {
        /// Its lines are there.
        Done = "done",
        /// The service was asked and has none.
        Absent = "absent",
    }
}

words! {
    /// What opened a door.
    OpenedBy ("way to open a door") {
        /// Keys of the telephone.
        Code = "code",
        /// A spoken word.
        Word = "word",
    }
}

words! {
    /// Who spoke.
    Party ("party of a call") {
        /// The device, or what it had the service say.
        Device = "device",
        /// The other end.
        Far = "far",
    }
}

words! {
    /// Where a line of a transcript is from.
    Source ("source of a transcript") {
        /// The media stream, while the call was up.
        Stream = "stream",
        /// The service, asked after the call.
        Service = "service",
    }
}

/// What the database holds is not a value of this type.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a {1}")]
struct Unreadable(String, &'static str);

pub(super) fn unreadable(text: &str, what: &'static str) -> FromSqlError {
    FromSqlError::Other(Box::new(Unreadable(text.into(), what)))
}
