//! A thread that takes commands one after another, and has something to do when none comes for a while.

use std::sync::mpsc::Receiver;
use std::time::Duration;

/// What such a thread does.
pub trait Service: Send + 'static {
    /// What it is told to do.
    type Command: Send + 'static;

    /// Called once, before the first command.
    fn begin(&mut self);

    /// How long the next command is waited for.
    fn patience(&self) -> Duration;

    /// Takes a command and, where it likes, those that wait behind it; `None`: none came in time. Returns whether the
    /// thread goes on.
    fn turn(&mut self, command: Option<Self::Command>, more: &Receiver<Self::Command>) -> bool;
}
