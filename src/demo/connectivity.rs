//! Whether the platform's operator reaches the box, and the words for it. Pure.

/// What the operator knows of the way to the box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reachability {
    /// The operator is connected to the broker.
    connected: bool,
    /// What the box, or the broker in its name, said of itself since then.
    availability: Option<String>,
}

impl Reachability {
    pub(super) fn connected(&mut self) {
        *self = Self { connected: true, availability: None };
    }

    pub(super) fn lost(&mut self) {
        *self = Self::default();
    }

    pub(super) fn says_of_itself(&mut self, said: Option<String>) {
        self.availability = said;
    }

    /// Whether a command would arrive now. One that is sent while the box is away is not kept for it.
    pub(super) fn reaches(&self) -> bool {
        self.connected && self.availability.as_deref() == Some("online")
    }

    /// For the badge.
    pub(super) fn as_str(&self) -> String {
        match (&self.availability, self.connected) {
            (_, false) => "message broker is down".to_owned(),
            (None, true) => "box not heard of yet".to_owned(),
            (Some(said), true) => format!("box {said}"),
        }
    }

    /// Whether commands can be sent, and why not.
    pub(super) fn says(&self) -> String {
        let why = match (self.availability.as_deref(), self.connected) {
            (_, false) => {
                "The message broker is down: no command reaches the box. Staff can still stop it with the button."
            }
            (None, true) => "The box has not been heard of yet.",
            (Some("online"), true) => "The box is connected: commands reach it.",
            (Some("stopped"), true) => "The box has ended its connection in order: no command reaches it.",
            (Some(_), true) => {
                "The box has lost its connection: no command reaches it. Staff can still stop it with the button."
            }
        };
        why.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_box_that_is_online_is_reached_and_each_other_case_says_why() {
        let mut reach = Reachability::default();
        let mut seen = vec![(reach.as_str(), reach.reaches(), reach.says())];
        reach.connected();
        seen.push((reach.as_str(), reach.reaches(), reach.says()));
        for said in ["online", "offline", "stopped", "{}"] {
            reach.says_of_itself(Some(said.to_owned()));
            seen.push((reach.as_str(), reach.reaches(), reach.says()));
        }
        reach.says_of_itself(Some("online".to_owned()));
        reach.lost();
        assert_eq!((reach.as_str(), reach.reaches(), reach.says()), seen[0], "what was known is forgotten");
        let reached: Vec<&str> =
            seen.iter().filter(|(_, reaches, _)| *reaches).map(|(word, _, _)| word.as_str()).collect();
        assert_eq!(reached, ["box online"]);
        assert!(seen.iter().filter(|(_, reaches, _)| !reaches).all(|(_, _, says)| !says.contains("commands reach it")));
    }
}
