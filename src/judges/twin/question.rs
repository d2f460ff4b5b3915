//! Whether the lamp asks staff about a document.

use consent::Event;

/// It asks once for each document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Question {
    /// There is nothing to ask.
    #[default]
    None,
    /// There is, and the lamp does not ask it yet.
    Due,
    /// The lamp asks.
    Asked,
}

impl Question {
    /// What the consent machine has to hear, where staff have to be asked now or need not be asked any more.
    pub fn settle(&mut self, is_needed: bool) -> Option<Event> {
        match (is_needed, *self) {
            (true, Self::None | Self::Due) => {
                *self = Self::Asked;
                Some(Event::AgreementNeeded)
            }
            (false, Self::Due | Self::Asked) => {
                *self = Self::None;
                Some(Event::AgreementWithdrawn)
            }
            (true, Self::Asked) | (false, Self::None) => None,
        }
    }
}
