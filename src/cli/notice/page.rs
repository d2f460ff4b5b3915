//! Where things stand on a card: marks in millimetres on an A4 page, for whatever draws them.

use consent::LampPattern;

/// A4, upright.
pub(super) const WIDTH: f64 = 210.0;
/// The same.
pub(super) const HEIGHT: f64 = 297.0;
const MARGIN: f64 = 12.0;
/// Height of a capital letter as a part of the font's size: Helvetica's, and the lowest of those that stand in for it.
pub(super) const CAP: f64 = 0.716;
/// Capitals of main lines are more than 8 mm high: readable at two metres. (8 mm at 2 m are 14 minutes of arc; normal
/// sight reads letters of 5.)
pub(super) const MAIN: f64 = 8.1 / CAP;
const TITLE: f64 = 14.0;
/// For a look from nearby.
pub(super) const SMALL: f64 = 4.6;
/// What the lamp's patterns mean.
const LAMP: f64 = 5.6;
/// What a strip shows of a pattern, in milliseconds: the longest rhythm once.
const STRIP_MS: u32 = 5000;
const STRIP_WIDTH: f64 = 58.0;
const STRIP_HEIGHT: f64 = 4.6;
/// Fonts that stand in for Helvetica may be somewhat wider.
const FILL: f64 = 0.93;

/// One thing to draw; `x` and `y` count from the upper left corner.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    /// A line of text; `y` is its baseline.
    Text {
        /// Millimetres.
        x: f64,
        /// Millimetres.
        y: f64,
        /// Millimetres.
        size: f64,
        /// Whether it is bold.
        bold: bool,
        /// The line.
        text: String,
    },
    /// A filled rectangle.
    Bar {
        /// Millimetres.
        x: f64,
        /// Millimetres.
        y: f64,
        /// Millimetres.
        width: f64,
        /// Millimetres.
        height: f64,
        /// Its colour.
        colour: Colour,
    },
}

/// The colours of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// A lamp that is lit.
    Lit,
    /// One that is not.
    Unlit,
    /// Lines between the parts.
    Line,
}

impl Colour {
    /// Red, green and blue.
    pub(super) const fn rgb(self) -> [u8; 3] {
        match self {
            Self::Lit => [0xd0, 0x10, 0x10],
            Self::Unlit => [0xe2, 0xe2, 0xe2],
            Self::Line => [0x60, 0x60, 0x60],
        }
    }
}

/// A card under construction, from the top down.
#[derive(Debug)]
pub(super) struct Sheet {
    y: f64,
    marks: Vec<Mark>,
}

impl Sheet {
    pub(super) fn new() -> Self {
        Self { y: MARGIN, marks: Vec::new() }
    }

    /// What the card is about.
    pub(super) fn title(&mut self, text: &str) {
        self.lines(MARGIN, TITLE, true, 1.15, text);
        self.y += 2.0;
        self.rule();
    }

    /// What has to be readable at two metres.
    pub(super) fn main(&mut self, text: &str) {
        self.lines(MARGIN, MAIN, true, 1.15, text);
        self.y += 0.9;
    }

    /// What is for a look from nearby.
    pub(super) fn small(&mut self, text: &str) {
        self.lines(MARGIN, SMALL, false, 1.3, text);
        self.y += 1.2;
    }

    /// A pattern of the lamp, and what it means.
    pub(super) fn lamp(&mut self, pattern: LampPattern, text: &str) {
        self.y += 1.3;
        let top = self.y;
        self.bar(MARGIN, top, STRIP_WIDTH, Colour::Unlit);
        for (from, until) in lit(pattern) {
            let per_ms = STRIP_WIDTH / f64::from(STRIP_MS);
            self.bar(MARGIN + f64::from(from) * per_ms, top, f64::from(until - from) * per_ms, Colour::Lit);
        }
        self.y = top - 0.6;
        self.lines(MARGIN + STRIP_WIDTH + 5.0, LAMP, false, 1.1, text);
        self.y = self.y.max(top + STRIP_HEIGHT);
    }

    /// A little room.
    pub(super) fn gap(&mut self) {
        self.y += 3.0;
    }

    /// A line between two parts.
    pub(super) fn rule(&mut self) {
        self.y += 1.0;
        let (x, y, width) = (MARGIN, self.y, WIDTH - 2.0 * MARGIN);
        self.marks.push(Mark::Bar { x, y, width, height: 0.4, colour: Colour::Line });
        self.y += 3.0;
    }

    /// The marks; `None`: they do not fit on one page.
    pub(super) fn finish(self) -> Option<Vec<Mark>> {
        (self.y <= HEIGHT - MARGIN).then_some(self.marks)
    }

    fn bar(&mut self, x: f64, y: f64, width: f64, colour: Colour) {
        self.marks.push(Mark::Bar { x, y, width, height: STRIP_HEIGHT, colour });
    }

    fn lines(&mut self, x: f64, size: f64, bold: bool, pitch: f64, text: &str) {
        let room = (WIDTH - MARGIN - x) * FILL;
        for line in wrap(text, size, room) {
            self.y += size * pitch;
            // The letters' feet stand above the line's lower edge.
            let y = self.y - size * (pitch - 1.0 + 0.22);
            self.marks.push(Mark::Text { x, y, size, bold, text: line });
        }
    }
}

/// When the lamp is lit within the strip, in milliseconds.
fn lit(pattern: LampPattern) -> Vec<(u32, u32)> {
    let (mut at, mut all) = (0, Vec::<(u32, u32)>::new());
    for (index, span) in pattern.spans().iter().cycle().enumerate() {
        let until = (at + u32::from(*span)).min(STRIP_MS);
        if index % 2 == 0 && until > at {
            match all.last_mut() {
                Some((_, end)) if *end == at => *end = until,
                Some(_) | None => all.push((at, until)),
            }
        }
        at = until;
        if at >= STRIP_MS {
            break;
        }
    }
    all
}

/// Breaks a text into lines that are at most `room` wide: at spaces, between Chinese signs, and in a word that is wider
/// than a line.
fn wrap(text: &str, size: f64, room: f64) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0.0);
    for piece in pieces(text) {
        let wide = width(&piece) * size;
        if used > 0.0 && used + width(piece.trim_end()) * size > room {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            used = 0.0;
        }
        line.push_str(&piece);
        used += wide;
        while width(line.trim_end()) * size > room {
            let rest = split_off(&mut line, size, room);
            lines.push(std::mem::replace(&mut line, rest));
            used = width(&line) * size;
        }
    }
    if !line.trim().is_empty() {
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// Cuts `line` to what fits, at least one letter, and returns the rest.
fn split_off(line: &mut String, size: f64, room: f64) -> String {
    let mut used = 0.0;
    let fits = line.char_indices().take_while(|(_, letter)| {
        used += letter_width(*letter) * size;
        used <= room
    });
    let end = fits.last().map_or(0, |(at, letter)| at + letter.len_utf8());
    let first = line.chars().next().map_or(0, char::len_utf8);
    line.split_off(end.max(first))
}

/// What must not be broken: a word with the space behind it, or a Chinese sign with the punctuation behind it.
fn pieces(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut open = false;
    for letter in text.chars() {
        let joins = open && !is_wide(letter) || is_closing(letter);
        match all.last_mut() {
            Some(last) if joins => last.push(letter),
            Some(_) | None => all.push(letter.to_string()),
        }
        open = !is_wide(letter) && letter != ' ';
    }
    all
}

/// Whether it is as wide as the font is high: Chinese signs and their punctuation.
fn is_wide(letter: char) -> bool {
    letter >= '\u{2e80}'
}

/// Punctuation that begins no line.
fn is_closing(letter: char) -> bool {
    " ,.;:!?)，。；：！？）、》」".contains(letter)
}

/// Width of a text as a multiple of the font's size.
fn width(text: &str) -> f64 {
    text.chars().map(letter_width).sum()
}

/// Helvetica's widths (its AFM file), in thousandths, from space to tilde.
const HELVETICA: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
];

fn letter_width(letter: char) -> f64 {
    let at = u32::from(letter).checked_sub(32).and_then(|at| usize::try_from(at).ok());
    match at.and_then(|at| HELVETICA.get(at)) {
        Some(width) => f64::from(*width) / 1000.0,
        None if is_wide(letter) => 1.0,
        None => 0.75,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_of_main_lines_are_eight_millimetres_high() {
        let mut sheet = Sheet::new();
        sheet.main("H");
        let marks = sheet.finish().unwrap();
        let Mark::Text { size, .. } = &marks[0] else { panic!("{marks:?}") };
        assert!(size * CAP >= 8.0, "{}", size * CAP);
    }

    #[test]
    fn every_line_fits_and_nothing_is_lost() {
        for text in [
            "Ask privacy@example.cn, or +86 10 0000 0000, within 15 days",
            "摄像头亮起红灯时，您可能被看到和听到；请联系 privacy@example.cn。",
            &"x".repeat(300),
            "",
        ] {
            let lines = wrap(text, MAIN, 150.0);
            assert!(lines.iter().all(|line| width(line) * MAIN <= 150.0), "{lines:?}");
            let without_spaces = |text: &str| text.replace(' ', "");
            assert_eq!(without_spaces(&lines.concat()), without_spaces(text));
            assert!(lines.iter().all(|line| !line.starts_with(is_closing)), "{lines:?}");
        }
    }

    #[test]
    fn a_strip_shows_the_lamps_own_rhythm() {
        assert_eq!(lit(LampPattern::Dark), []);
        assert_eq!(lit(LampPattern::Solid), [(0, 5000)]);
        assert_eq!(lit(LampPattern::LockFlash), [(0, 80)]);
        assert_eq!(lit(LampPattern::DoubleBlink)[..3], [(0, 150), (300, 450), (1200, 1350)]);
    }

    #[test]
    fn what_does_not_fit_on_a_page_is_no_card() {
        let mut sheet = Sheet::new();
        (0..40).for_each(|_| sheet.main("H"));
        assert_eq!(sheet.finish(), None);
    }
}
