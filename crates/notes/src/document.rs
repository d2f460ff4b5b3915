//! Documents: the two lines that notes here have as their text.

use crate::kind::DocumentType;
use crate::note::NoteError;

/// A note's text, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// The first line.
    pub kind: DocumentType,
    /// The second line, without its newline. Nobody has looked whether it is JSON.
    pub json: &'a str,
}

impl Document<'_> {
    /// The text that is signed. `json` of a document that is written has no line breaks.
    pub fn text(&self) -> String {
        format!("{}\n{}\n", self.kind.as_str(), self.json)
    }
}

/// Takes the text of a note apart: exactly two lines.
pub fn document(text: &str) -> Result<Document<'_>, NoteError> {
    let two = text.strip_suffix('\n').and_then(|lines| lines.split_once('\n'));
    let (first, json) = two.filter(|(_, json)| !json.contains('\n')).ok_or(NoteError::NotTwoLines)?;
    let kind = DocumentType::ALL.into_iter().find(|kind| kind.as_str() == first).ok_or(NoteError::UnknownType)?;
    Ok(Document { kind, json })
}
