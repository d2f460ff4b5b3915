//! Questions on a terminal: numbered choices, defaults in brackets, and secrets that do not appear.

use std::io::{IsTerminal, Write, stdin, stdout};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::interrupt::{Interrupt, LOOK};
use crate::exit::Exit;

/// Longest line that is taken, in bytes; a terminal's own limit is 4096.
const MAX_BYTES: usize = 64 * 1024;

/// The terminal that the integrator sits at.
#[derive(Debug)]
pub(super) struct Terminal {
    interrupt: Interrupt,
    /// What was read behind the last line.
    rest: Vec<u8>,
}

impl Terminal {
    /// The terminal, if there is one.
    pub(super) fn find(interrupt: &Interrupt) -> Option<Self> {
        let here = stdin().is_terminal() && stdout().is_terminal();
        here.then(|| Self { interrupt: interrupt.clone(), rest: Vec::new() })
    }

    /// Asks until `judge` is content: it says what is wrong and what would be right. An empty line is the default.
    pub(super) fn ask<T>(
        &mut self,
        question: &str,
        default: Option<&str>,
        judge: impl FnMut(&str) -> Result<T, String>,
    ) -> Result<T, Exit> {
        self.ask_shown(question, default, default.unwrap_or_default(), judge)
    }

    /// The same where the default is shown as something else: there may be a key in it.
    pub(super) fn ask_shown<T>(
        &mut self,
        question: &str,
        default: Option<&str>,
        shown: &str,
        mut judge: impl FnMut(&str) -> Result<T, String>,
    ) -> Result<T, Exit> {
        loop {
            let shown = if shown.is_empty() { String::new() } else { format!(" [{shown}]") };
            let line = self.line(&format!("{question}{shown}: "))?;
            let text = line.trim();
            match judge(if text.is_empty() { default.unwrap_or_default() } else { text }) {
                Ok(value) => return Ok(value),
                Err(wrong) => say(&format!("  {wrong}"))?,
            }
        }
    }

    /// One of several, by its number. `default` counts from 0.
    pub(super) fn choose(&mut self, question: &str, choices: &[String], default: usize) -> Result<usize, Exit> {
        for (index, choice) in choices.iter().enumerate() {
            say(&format!("  {}) {choice}", index + 1))?;
        }
        let count = choices.len();
        self.ask(question, Some(&(default + 1).to_string()), |text| {
            let number = text.parse::<usize>().ok().filter(|number| (1..=count).contains(number));
            number.map(|number| number - 1).ok_or_else(|| format!("write a number from 1 to {count}"))
        })
    }

    /// Yes or no.
    pub(super) fn confirm(&mut self, question: &str, default: bool) -> Result<bool, Exit> {
        let shown = if default { "yes" } else { "no" };
        self.ask(question, Some(shown), |text| match text.to_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("write yes or no".to_owned()),
        })
    }

    /// A line that the terminal does not show.
    pub(super) fn hidden(&mut self, prompt: &str) -> Result<String, Exit> {
        let _hidden = Hidden::begin()?;
        // What was typed before the prompt was shown for all to see, and is not meant for it.
        self.rest.clear();
        self.line(prompt)
    }

    fn line(&mut self, prompt: &str) -> Result<String, Exit> {
        print(prompt)?;
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).take(end).collect();
                match String::from_utf8(line) {
                    Ok(line) => return Ok(line),
                    Err(_) => print(&format!("  that is not UTF-8: write it again\n{prompt}"))?,
                }
                continue;
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<(), Exit> {
        let lost = |error: rustix::io::Errno| Exit::io(format!("the terminal: {error}"));
        let input = stdin();
        let look = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
        let mut ready = [PollFd::new(&input, PollFlags::IN)];
        let found = match poll(&mut ready, Some(&look)) {
            Err(rustix::io::Errno::INTR) => 0,
            found => found.map_err(lost)?,
        };
        self.interrupt.check_stopped()?;
        if found == 0 {
            return Ok(());
        }
        let mut buffer = [0; 4096];
        match rustix::io::read(input.as_fd(), &mut buffer) {
            // Ctrl-D, or the terminal went away.
            Ok(0) | Err(rustix::io::Errno::IO) => Err(self.interrupt.stopped()),
            Ok(count) if self.rest.len() + count <= MAX_BYTES => {
                self.rest.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Ok(_) => Err(Exit::data("a line is longer than 64 KiB; nothing was changed")),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(lost(error)),
        }
    }
}

/// The terminal without echo, for as long as it lives.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> Result<Self, Exit> {
        let wrong = |error: rustix::io::Errno| Exit::io(format!("the terminal shows what is typed: {error}"));
        let before = tcgetattr(stdin()).map_err(wrong)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // The end of the line shows, so that what follows begins on its own.
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(stdin(), OptionalActions::Flush, &silent).map_err(wrong)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.0);
    }
}

/// A line for whoever watches.
pub(super) fn say(text: &str) -> Result<(), Exit> {
    print(&format!("{text}\n"))
}

fn print(text: &str) -> Result<(), Exit> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| Exit::io(""))
}
