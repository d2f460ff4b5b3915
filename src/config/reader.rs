//! Takes values out of the documents by section and key: each call says what is known, of which type, in which range,
//! and with which default. A mistake is noted and the default stands in, so that all mistakes come out in one run.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::path::PathBuf;

use jiff::{Span, SpanRelativeTo};
use toml::de::{DeTable, DeValue};

use super::Diagnostic;
use super::choice::Choice;
use super::document::{Author, Document};

/// Where a value stands: the document and the byte offset in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Location {
    document: usize,
    offset: usize,
}

impl Location {
    /// Another place in the same document.
    pub(super) fn at(self, offset: usize) -> Self {
        Self { offset, ..self }
    }
}

pub(super) struct Reader<'t> {
    documents: Vec<Document<'t>>,
    known: Vec<(&'static str, &'static str)>,
    /// Sections that may be written several times, as `[[name]]`.
    arrays: Vec<&'static str>,
    diagnostics: Vec<(Option<Location>, Diagnostic)>,
    warnings: Vec<Diagnostic>,
    syntax: Vec<Diagnostic>,
}

type Located<'t> = (DeValue<'t>, Location);

impl<'t> Reader<'t> {
    pub(super) fn new(documents: Vec<Document<'t>>, syntax: Vec<Diagnostic>) -> Self {
        Self { documents, known: Vec::new(), arrays: Vec::new(), diagnostics: Vec::new(), warnings: Vec::new(), syntax }
    }

    /// The value of the last document that has it.
    fn find(&mut self, section: &'static str, key: &'static str) -> Option<Located<'t>> {
        self.known.push((section, key));
        self.documents.iter().enumerate().rev().find_map(|(document, Document { table, .. })| {
            let mut names = section.split('.');
            let mut table = table.get(names.next()?)?.get_ref().as_table()?;
            for name in names {
                table = table.get(name)?.get_ref().as_table()?;
            }
            let value = table.get(key)?;
            Some((value.get_ref().clone(), Location { document, offset: value.span().start }))
        })
    }

    fn locate(&self, place: Option<Location>) -> (PathBuf, Option<(usize, usize)>) {
        // What is missing is missing in the main file, which is the first of the box's own.
        let main = || self.documents.iter().position(|document| document.author != Author::Platform).unwrap_or(0);
        let document = &self.documents[place.map_or_else(main, |place| place.document)];
        (document.path.to_owned(), place.map(|place| document.place(place.offset)))
    }

    /// Notes a mistake.
    pub(super) fn error(&mut self, place: Option<Location>, message: impl Into<String>, help: impl Into<String>) {
        let (file, at) = self.locate(place);
        self.diagnostics.push((place, Diagnostic::new(file, at, &message.into(), &help.into())));
    }

    /// Notes what is allowed but worth knowing.
    pub(super) fn warning(&mut self, place: Option<Location>, message: impl Into<String>, help: impl Into<String>) {
        let (file, at) = self.locate(place);
        self.warnings.push(Diagnostic::new(file, at, &message.into(), &help.into()));
    }

    /// Where a key stands, for contradictions.
    pub(super) fn place(&mut self, section: &'static str, key: &'static str) -> Option<Location> {
        self.find(section, key).map(|(_, place)| place)
    }

    /// Text; `None` where there is none.
    pub(super) fn text(&mut self, section: &'static str, key: &'static str) -> Option<(String, Location)> {
        let (value, place) = self.find(section, key)?;
        if let Some(text) = value.as_str() {
            return Some((text.to_owned(), place));
        }
        self.error(Some(place), mismatch(key, "text", &value), format!("write {key} = \"...\" in quotes"));
        None
    }

    pub(super) fn path(&mut self, section: &'static str, key: &'static str, default: &str) -> PathBuf {
        PathBuf::from(self.text(section, key).map_or_else(|| default.to_owned(), |(text, _)| text))
    }

    pub(super) fn flag(&mut self, section: &'static str, key: &'static str, default: bool) -> bool {
        let Some((value, place)) = self.find(section, key) else { return default };
        value.as_bool().unwrap_or_else(|| {
            self.error(Some(place), mismatch(key, "true or false", &value), format!("write {key} = {default}"));
            default
        })
    }

    /// A whole number; `None` where there is none or where it is wrong.
    pub(super) fn number(
        &mut self,
        section: &'static str,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let (value, place) = self.find(section, key)?;
        let (low, high) = (range.start(), range.end());
        let right = format!("write a whole number from {low} to {high}");
        let Some(number) = value.as_integer() else {
            self.error(Some(place), mismatch(key, "a whole number", &value), right);
            return None;
        };
        let parsed = u32::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| range.contains(number));
        if parsed.is_none() {
            self.error(Some(place), format!("{key} = {} is out of range", number.as_str()), right);
        }
        parsed
    }

    /// A span of time, as jiff's friendly format has it: "30ms", "2s", "10m", "4h", "184d" (a day is 24 hours).
    pub(super) fn duration(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let Some((text, place)) = self.text(section, key) else { return default };
        let (low, high) = (format_duration(*range.start()), format_duration(*range.end()));
        match parse_duration(&text) {
            None => {
                let right = "write a number and ms, s, m, h or d, such as \"30ms\" or \"10m\"";
                self.error(Some(place), format!("{key} = {text:?} is not a span of time"), right);
                default
            }
            Some(span) if range.contains(&span) => span,
            Some(_) => {
                let right = format!("write a span from \"{low}\" to \"{high}\"");
                self.error(Some(place), format!("{key} = {text:?} is out of range"), right);
                default
            }
        }
    }

    pub(super) fn choice<C: Choice>(&mut self, section: &'static str, key: &'static str) -> C {
        let default = C::ALL[0].1;
        let Some((text, place)) = self.text(section, key) else { return default };
        if let Some((_, choice)) = C::ALL.iter().find(|(word, _)| *word == text) {
            return *choice;
        }
        let all: Vec<&str> = C::ALL.iter().map(|(word, _)| *word).collect();
        let help = format!("{}choose one of: {}", did_you_mean(&text, all.iter().copied()), all.join(", "));
        self.error(Some(place), format!("{key} = {text:?} is not known"), help);
        default
    }

    /// A list of texts; `None` where there is none.
    pub(super) fn list(&mut self, section: &'static str, key: &'static str) -> Option<Vec<(String, Location)>> {
        let (value, place) = self.find(section, key)?;
        let right = format!("write {key} = [\"...\", \"...\"]");
        let Some(array) = value.as_array() else {
            self.error(Some(place), mismatch(key, "a list of texts", &value), right);
            return None;
        };
        let mut all = Vec::new();
        for item in array {
            let place = Location { offset: item.span().start, ..place };
            match item.get_ref().as_str() {
                Some(text) => all.push((text.to_owned(), place)),
                None => self.error(Some(place), mismatch(key, "a list of texts", item.get_ref()), right.clone()),
            }
        }
        Some(all)
    }

    /// A table within a section; `None` where there is none.
    pub(super) fn table(&mut self, section: &'static str, key: &'static str) -> Option<(DeTable<'t>, Location)> {
        let (value, place) = self.find(section, key)?;
        if let Some(table) = value.as_table() {
            return Some((table.clone(), place));
        }
        self.error(Some(place), mismatch(key, "a table", &value), format!("write {key} = {{ ... }}"));
        None
    }

    /// The tables `[[section]]` of all documents: no document takes away what another has.
    pub(super) fn tables(&mut self, section: &'static str) -> Vec<(DeTable<'t>, Location)> {
        self.arrays.push(section);
        let (mut all, mut message) = (Vec::new(), Vec::new());
        for (document, Document { table, .. }) in self.documents.iter().enumerate() {
            let Some(value) = table.get(section) else { continue };
            let Some(array) = value.get_ref().as_array() else {
                message.push((Location { document, offset: value.span().start }, value.get_ref().type_str()));
                continue;
            };
            for item in array {
                let place = Location { document, offset: item.span().start };
                match item.get_ref().as_table() {
                    Some(table) => all.push((table.clone(), place)),
                    None => message.push((place, item.get_ref().type_str())),
                }
            }
        }
        for (place, kind) in message {
            let what = format!("{section} must be a list of tables, not {kind}");
            self.error(Some(place), what, format!("write [[{section}]] on a line of its own, once for each"));
        }
        all
    }

    /// The whole numbers `names` of a table that is called `what` and stands at `place`, and where each stands.
    pub(super) fn numbers<const N: usize>(
        &mut self,
        what: &str,
        table: &DeTable<'t>,
        place: Location,
        names: [&'static str; N],
        range: RangeInclusive<u32>,
    ) -> [Option<(u32, Location)>; N] {
        let mut found = [None; N];
        let right = format!("write a whole number from {} to {}", range.start(), range.end());
        for (name, value) in table {
            let key = name.get_ref().as_ref();
            let Some(index) = names.iter().position(|known| *known == key) else {
                let place = Location { offset: name.span().start, ..place };
                let help = format!("{}{what} has: {}", did_you_mean(key, names.into_iter()), names.join(", "));
                self.error(Some(place), format!("{what}: {key} is not known"), help);
                continue;
            };
            let place = Location { offset: value.span().start, ..place };
            let Some(number) = value.get_ref().as_integer() else {
                self.error(Some(place), mismatch(key, "a whole number", value.get_ref()), right.clone());
                continue;
            };
            match u32::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| range.contains(number)) {
                Some(number) => found[index] = Some((number, place)),
                None => self.error(Some(place), format!("{key} = {} is out of range", number.as_str()), right.clone()),
            }
        }
        found
    }

    /// Everything that no call asked for is unknown. Returns mistakes, in order, and notes.
    pub(super) fn finish(mut self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let mut unknown = Vec::new();
        // A section in a section is a key of it.
        let nested: Vec<_> = self.known.iter().filter_map(|(section, _)| section.rsplit_once('.')).collect();
        self.known.extend(nested);
        for (index, document) in self.documents.iter().enumerate() {
            let mut sections: Vec<&str> = Vec::new();
            for (section, _) in &self.known {
                if !section.contains('.') && !sections.contains(section) {
                    sections.push(section);
                }
            }
            sections.extend(&self.arrays);
            for (name, value) in &document.table {
                let section = name.get_ref().as_ref();
                let place = Location { document: index, offset: name.span().start };
                if self.arrays.contains(&section) {
                    // `tables` looked at it.
                } else if !sections.contains(&section) {
                    let help = format!(
                        "{}sections are: {}",
                        did_you_mean(section, sections.iter().copied()),
                        sections.join(", ")
                    );
                    unknown.push((place, format!("[{section}] is not a section"), help));
                } else if let Some(table) = value.get_ref().as_table() {
                    self.unknown_keys(index, section, table, &mut unknown);
                } else {
                    unknown.push((
                        place,
                        format!("{section} must be a section"),
                        format!("write [{section}] on a line of its own"),
                    ));
                }
            }
        }
        for (place, message, help) in unknown {
            self.error(Some(place), message, help);
        }
        self.diagnostics
            .sort_by_key(|(place, _)| place.map_or((0, usize::MAX), |place| (place.document, place.offset)));
        let mut all = self.syntax;
        all.extend(self.diagnostics.into_iter().map(|(_, diagnostic)| diagnostic));
        (all, self.warnings)
    }

    fn unknown_keys(
        &self,
        document: usize,
        section: &str,
        table: &DeTable<'_>,
        unknown: &mut Vec<(Location, String, String)>,
    ) {
        let keys = || self.known.iter().filter(|(of, _)| *of == section).map(|(_, key)| *key);
        for (name, value) in table {
            let key = name.get_ref().as_ref();
            let inner = format!("{section}.{key}");
            let place = Location { document, offset: name.span().start };
            if self.known.iter().any(|(of, _)| *of == inner) {
                if let Some(table) = value.get_ref().as_table() {
                    self.unknown_keys(document, &inner, table, unknown);
                } else {
                    let help = format!("write [{inner}] on a line of its own");
                    unknown.push((place, format!("{inner} must be a section"), help));
                }
            } else if !keys().any(|known| known == key) {
                let mut all: Vec<&str> = Vec::new();
                for key in keys() {
                    if !all.contains(&key) {
                        all.push(key);
                    }
                }
                let help = format!("{}[{section}] has: {}", did_you_mean(key, keys()), all.join(", "));
                unknown.push((place, format!("[{section}] {key} is not known"), help));
            }
        }
    }
}

fn mismatch(key: &str, wanted: &str, value: &DeValue<'_>) -> String {
    format!("{key} must be {wanted}, not {}", value.type_str())
}

/// "did you mean ...? " for the nearest of `all`, if one is near.
pub(crate) fn did_you_mean<'a>(text: &str, all: impl Iterator<Item = &'a str>) -> String {
    // 0.75 on the Jaro-Winkler scale (0 to 1) lets "buton-pin" through and keeps "colour" out.
    all.map(|word| (strsim::jaro_winkler(text, word), word))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map_or_else(String::new, |(_, word)| format!("did you mean \"{word}\"? "))
}

/// A span of time as the configuration writes it.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text.trim() == "0" {
        return Some(Duration::ZERO);
    }
    let span: Span = text.parse().ok()?;
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?.try_into().ok()
}

/// A span as it would be written in the configuration.
pub(super) fn format_duration(span: Duration) -> String {
    let millis = span.as_millis();
    [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")]
        .into_iter()
        .find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit))
        .map_or_else(|| format!("{millis}ms"), |(unit, word)| format!("{}{word}", millis / unit))
}
