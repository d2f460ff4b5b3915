//! The types of documents.

/// The type of a document: its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DocumentType {
    /// A command to one box.
    Command,
    /// The configuration that an operator wants a box to have.
    Desired,
    /// The privacy policy in force.
    Policy,
    /// That the platform's service ends.
    EndOfService,
    /// The releases of a channel.
    Release,
    /// What a box destroyed and what it kept; signed by the box.
    Receipt,
}

impl DocumentType {
    /// All types.
    pub const ALL: [Self; 6] =
        [Self::Command, Self::Desired, Self::Policy, Self::EndOfService, Self::Release, Self::Receipt];

    /// The first line of its documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "tallybox/command/v1",
            Self::Desired => "tallybox/desired/v1",
            Self::Policy => "tallybox/policy/v1",
            Self::EndOfService => "tallybox/end-of-service/v1",
            Self::Release => "tallybox/release/v1",
            Self::Receipt => "tallybox/receipt/v1",
        }
    }
}

/// All types, for an error.
pub(crate) fn names() -> String {
    DocumentType::ALL.map(DocumentType::as_str).join(", ")
}
