//! Rust source as words and marks, without comments, strings and whatever is compiled for tests only.

/// One token. Numbers are words; of strings and characters nothing is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Word(&'a str),
    /// `::`
    Path,
    Mark(char),
}

/// All tokens of a file.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut all, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (token, length) = if let Some(length) = literal(rest) {
            (None, length)
        } else if word > 0 {
            (Some(Token::Word(&rest[..word])), word)
        } else if rest.starts_with("::") {
            (Some(Token::Path), 2)
        } else {
            ((!first.is_whitespace()).then_some(Token::Mark(first)), first.len_utf8())
        };
        all.extend(token);
        rest = &rest[length..];
    }
    all
}

/// The length of the comment, string, character or lifetime that `text` begins with.
fn literal(text: &str) -> Option<usize> {
    let end = |of: &str, from: usize| text[from..].find(of).map_or(text.len(), |at| from + at + of.len());
    let prefix = ["br", "b", "r", "c"]
        .into_iter()
        .find(|prefix| text.strip_prefix(prefix).is_some_and(|rest| rest.trim_start_matches('#').starts_with('"')));
    let prefix = prefix.unwrap_or_default();
    let body = &text[prefix.len()..];
    let hashes = body.len() - body.trim_start_matches('#').len();
    if text.starts_with("//") {
        Some(end("\n", 0))
    } else if text.starts_with("/*") {
        Some(end("*/", 2))
    } else if prefix.ends_with('r') {
        Some(end(&format!("\"{}", "#".repeat(hashes)), prefix.len() + hashes + 1))
    } else if body.starts_with('"') {
        Some(prefix.len() + quoted(body, '"'))
    } else if let Some(rest) = text.strip_prefix('\'') {
        let mut rest = rest.chars();
        let is_character = rest.next() == Some('\\') || rest.next() == Some('\'');
        Some(if is_character { quoted(text, '\'') } else { 1 })
    } else {
        None
    }
}

/// The length of a literal in `quote`s, with what a backslash hides.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let last = text.char_indices().skip(1).find(|(_, c)| {
        let ends = !escaped && *c == quote;
        escaped = !escaped && *c == '\\';
        ends
    });
    last.map_or(text.len(), |(at, _)| at + quote.len_utf8())
}

const TEST_ONLY: [Token<'_>; 7] = [
    Token::Mark('#'),
    Token::Mark('['),
    Token::Word("cfg"),
    Token::Mark('('),
    Token::Word("test"),
    Token::Mark(')'),
    Token::Mark(']'),
];

/// `tokens` without what stands behind `#[cfg(test)]`, and the names of the modules that this leaves out.
pub(crate) fn without_tests<'a>(tokens: &[Token<'a>]) -> (Vec<Token<'a>>, Vec<&'a str>) {
    let (mut left, mut modules, mut rest) = (Vec::new(), Vec::new(), tokens);
    while let Some((first, behind)) = rest.split_first() {
        if let Some(item) = rest.strip_prefix(&TEST_ONLY) {
            let length = item_length(item);
            modules.extend(item[..length].windows(2).find_map(|pair| match pair {
                [Token::Word("mod"), Token::Word(name)] => Some(*name),
                _ => None,
            }));
            rest = &item[length..];
        } else {
            left.push(*first);
            rest = behind;
        }
    }
    (left, modules)
}

/// How many tokens the item, statement or field has that `tokens` begins with.
fn item_length(tokens: &[Token<'_>]) -> usize {
    const ITEMS: [&str; 9] = ["const", "enum", "fn", "impl", "mod", "static", "struct", "type", "use"];
    let is_item = tokens.iter().take(6).any(|token| matches!(token, Token::Word(word) if ITEMS.contains(word)));
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') if depth == 0 => return at,
            Token::Mark('}') if depth == 1 => return at + 1,
            Token::Mark(')' | ']' | '}') => depth -= 1,
            Token::Mark(';') if depth == 0 => return at + 1,
            Token::Mark(',') if depth == 0 && !is_item => return at + 1,
            Token::Word(_) | Token::Path | Token::Mark(_) => {}
        }
    }
    tokens.len()
}
