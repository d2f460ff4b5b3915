//! Runs services, in threads of their own or in a simulation.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SendError, Sender};
use std::time::Duration;

use super::work::Service;
use super::{SpawnError, detached};

/// Tells a service what to do.
#[derive(Debug)]
pub struct Commands<C> {
    sender: Sender<C>,
    #[cfg(feature = "sim")]
    told: std::sync::Arc<tokio::sync::Notify>,
}

impl<C> Clone for Commands<C> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            #[cfg(feature = "sim")]
            told: self.told.clone(),
        }
    }
}

impl<C> Commands<C> {
    /// `Err`: the service has ended.
    pub fn send(&self, command: C) -> Result<(), SendError<C>> {
        self.sender.send(command)?;
        #[cfg(feature = "sim")]
        self.told.notify_one();
        Ok(())
    }

    /// Commands, and where they go.
    pub fn channel() -> (Self, Receiver<C>) {
        let (sender, inbox) = mpsc::channel();
        let commands = Self {
            sender,
            #[cfg(feature = "sim")]
            told: std::sync::Arc::default(),
        };
        (commands, inbox)
    }

    /// Wakes a simulated service.
    #[cfg(feature = "sim")]
    pub(super) fn told(&self) -> std::sync::Arc<tokio::sync::Notify> {
        self.told.clone()
    }
}

/// Runs `service` in a thread of its own, until it ends or nobody can send it a command any more.
pub fn serve<S: Service>(
    name: &'static str,
    mut service: S,
    (commands, inbox): (&Commands<S::Command>, Receiver<S::Command>),
) -> Result<(), SpawnError> {
    #[cfg(feature = "sim")]
    if super::simulated::is_installed() {
        super::simulated::serve(service, commands.told(), inbox);
        return Ok(());
    }
    let _ = commands;
    detached(name, move || {
        service.begin();
        loop {
            let command = match inbox.recv_timeout(service.patience()) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if !service.turn(command, &inbox) {
                return;
            }
        }
    })
}

/// What another thread answers, if it does within `timeout`.
pub fn wait<T>(answer: &Receiver<T>, timeout: Duration) -> Result<T, RecvTimeoutError> {
    #[cfg(feature = "sim")]
    if super::simulated::is_installed() {
        return super::simulated::wait(answer, timeout);
    }
    answer.recv_timeout(timeout)
}
