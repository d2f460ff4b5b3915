//! Characters that nobody sees, or that look like others: what they are called, and where they are.

use crate::ipc::is_unseen;

/// The first character that cannot be in an address and that people do not see, counted from 1, and what it is.
pub(in crate::config) fn odd_character(text: &str) -> Option<(usize, String)> {
    text.chars().enumerate().find_map(|(index, letter)| Some((index + 1, odd_name(letter)?)))
}

/// What a character is that people do not see; `None` for one that they see.
pub(in crate::config) fn odd_name(letter: char) -> Option<String> {
    if !is_odd(letter) {
        return None;
    }
    Some(match letter {
        ' ' => "a space".to_owned(),
        '\t' => "a tab".to_owned(),
        '\u{a0}' | '\u{202f}' => format!("a no-break space (U+{:04X})", u32::from(letter)),
        '\u{3000}' => "an ideographic space (U+3000)".to_owned(),
        '\u{feff}' => "a byte order mark (U+FEFF)".to_owned(),
        '\u{200b}'..='\u{200f}' | '\u{2060}' => format!("a character without width (U+{:04X})", u32::from(letter)),
        other => format!("the character U+{:04X}", u32::from(other)),
    })
}

/// White space, controls, and what has no width of its own (Unicode's general categories Zs, Zl, Zp, Cc and Cf, as far
/// as the last are in use), signs before numbers, variants, and what is no character.
fn is_odd(letter: char) -> bool {
    letter.is_whitespace()
        || letter.is_control()
        || is_unseen(letter)
        || matches!(
            letter,
            '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}'
                | '\u{fff0}'..='\u{ffff}' | '\u{e0100}'..='\u{e01ef}'
        )
}
