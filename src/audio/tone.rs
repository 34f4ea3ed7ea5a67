//! Skeleton: tones made on the device (helper `audio` owns this file).

/// What the visitor hears from the device itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing; ends a tone that repeats.
    Silence,
    /// The press counted.
    Pressed,
    /// The call is being placed.
    Dialing,
    /// The far end rings (ring-back).
    Ringing,
    /// Somebody answered.
    Answered,
    /// A press during a call: heard, nothing changes. Mixed over the speech.
    Busy,
    /// The line dropped and is expected back.
    Reconnecting,
    /// The call could not be made, or broke.
    Failed,
    /// No network, or the service does not answer.
    Offline,
    /// A limit says no.
    Limited,
    /// The maximum time is near. Mixed over the speech.
    Warning,
    /// The call ended as it should.
    Ended,
}
