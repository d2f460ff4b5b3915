//! Which boxes a command is for.

use tallybox::exit::Exit;

use crate::options;

/// Boxes by name, or all that match.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "target")]
pub(crate) struct Targets {
    /// Boxes by their ids.
    #[arg(value_name = "BOX")]
    pub(crate) boxes: Vec<String>,
    /// All boxes that are online.
    #[arg(long, conflicts_with = "boxes")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) filter: Filter,
}

/// Which of all boxes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Filter {
    /// Boxes whose ids fit; `*` stands for any text: --match 'shop-00*'.
    #[arg(long = "match", value_name = "PATTERN")]
    pub(crate) pattern: Option<String>,
    /// Boxes in this phase.
    #[arg(long, value_name = "PHASE", value_parser = clap::builder::PossibleValuesParser::new(crate::view::PHASES))]
    pub(crate) phase: Option<String>,
}

impl Targets {
    /// Checks that something is named: a slip of the keyboard must not reach a whole fleet.
    pub(crate) fn check(&self) -> Result<(), Exit> {
        if let Some(wrong) = self.boxes.iter().find(|id| !options::is_box_id(id)) {
            return Err(Exit::usage(format!("{wrong:?} is no id of a box: {}", options::BOX_ID)));
        }
        if self.boxes.is_empty() && !self.all && self.filter.pattern.is_none() && self.filter.phase.is_none() {
            return Err(Exit::usage("name boxes, or write --all, --match PATTERN or --phase PHASE"));
        }
        Ok(())
    }

    /// Whether a box is one of them. `phase` is `None` while it is not known.
    pub(crate) fn has(&self, id: &str, phase: Option<&str>) -> bool {
        (self.boxes.is_empty() || self.boxes.iter().any(|named| named == id)) && self.filter.has(id, phase)
    }
}

impl Filter {
    pub(crate) fn has(&self, id: &str, phase: Option<&str>) -> bool {
        self.pattern.as_deref().is_none_or(|pattern| fits(pattern, id))
            && self.phase.as_deref().is_none_or(|wanted| phase == Some(wanted))
    }
}

/// Whether `text` fits a pattern in which `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, is) in [
            ("shop-1", "shop-1", true),
            ("shop-1", "shop-10", false),
            ("shop-*", "shop-10", true),
            ("*-1*", "shop-10", true),
            ("s*p-*0", "shop-10", true),
            ("s*p-*1", "shop-10", false),
            ("*", "", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(fits(pattern, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn nobody_is_meant_by_accident() {
        assert!(Targets::default().check().is_err());
        assert!(Targets { all: true, ..Targets::default() }.check().is_ok());
        let wrong = Targets { boxes: vec!["Shop/1".to_owned()], ..Targets::default() };
        assert!(wrong.check().is_err());
    }
}
