//! The queue of what the daemon is to do: bounded, drained after each input.

use std::collections::VecDeque;

use crate::trace::Counter;

use super::event::Output;

/// Most outputs one input can leave behind, with every attempt of a full
/// table running into a time-out at once. The model test measures it.
///
/// A queue that is full all the same refuses the new output. Nothing is stuck
/// by that, since every request has a time-out that stands for its answer.
pub const MAX_OUTPUTS: usize = 64;

/// See [`MAX_OUTPUTS`].
#[derive(Debug)]
pub(super) struct Outputs(VecDeque<Output>);

impl Outputs {
    pub(super) fn new() -> Self {
        Self(VecDeque::with_capacity(MAX_OUTPUTS))
    }

    pub(super) fn push(&mut self, output: Output) {
        let room = self.0.len() < MAX_OUTPUTS;
        debug_assert!(room, "an input left more than {MAX_OUTPUTS} outputs");
        if room {
            self.0.push_back(output);
        }
    }

    pub(super) fn count(&mut self, counter: Counter) {
        self.push(Output::Count(counter));
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.0.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
