//! The modules of the tree and what each of them imports, read from the source text. Modules for tests and fuzzing are
//! left out.
//! A re-export of a child's name is no import: who uses the name depends on the child.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::{Token, tokens, without_tests};

/// From the crate's name on: `tallybox::capture::media`.
pub(crate) type Name = Vec<String>;

/// What one file says.
#[derive(Debug, Default)]
struct Source {
    /// What is imported, by the name that it has here.
    uses: Vec<Use>,
    /// Paths in the code.
    paths: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Use {
    name: String,
    path: Vec<String>,
    is_public: bool,
}

/// So many re-exports of re-exports are followed.
const DEPTH: usize = 8;

/// All modules of all crates.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    modules: BTreeMap<Name, Source>,
}

impl Tree {
    /// From files by their paths, such as `src/capture/mod.rs` and `crates/bitrate/src/rate.rs`.
    pub(crate) fn new(files: &[(String, String)]) -> Self {
        let (mut modules, mut tests) = (BTreeMap::new(), BTreeSet::new());
        for (path, text) in files {
            let name = name_of(path);
            let all = tokens(text);
            let (code, left_out) = without_tests(&all);
            tests.extend(left_out.iter().map(|test| child(&name, test)));
            modules.insert(name, Source::new(&code));
        }
        let is_test = |name: &Name| {
            (1..=name.len()).any(|length| tests.contains(&name[..length]))
                || name.iter().any(|part| part == "tests" || part == "fuzzing" || part.ends_with("_tests"))
        };
        modules.retain(|name, _| !is_test(name));
        Self { modules }
    }

    /// Every module, with the modules that it imports.
    pub(crate) fn imports(&self) -> BTreeMap<&Name, BTreeSet<Name>> {
        let of = |name: &Name, source: &Source| {
            let uses = source.uses.iter().filter(|import| !self.is_re_export(name, import)).map(|import| &import.path);
            let targets = uses.chain(&source.paths).filter_map(|path| self.resolve(name, path, DEPTH));
            targets.map(|(module, _)| module).filter(|module| module != name).collect()
        };
        self.modules.iter().map(|(name, source)| (name, of(name, source))).collect()
    }

    fn is_re_export(&self, name: &Name, import: &Use) -> bool {
        let target = import.is_public.then(|| self.resolve(name, &import.path, DEPTH)).flatten();
        target.is_some_and(|(module, _)| module.starts_with(name))
    }

    /// The module that `path`, written in module `from`, leads to, and whether it is that module itself and not one of
    /// its items. `None`: another crate's.
    fn resolve(&self, from: &Name, path: &[String], depth: usize) -> Option<(Name, bool)> {
        // `use gst::plugins` beside an import that is called `gst` would lead round and round.
        let depth = depth.checked_sub(1)?;
        let (first, rest) = path.split_first()?;
        let start = match (first.as_str(), self.import(from, first)) {
            ("crate", _) => (vec![from[0].clone()], true),
            ("self", _) => (from.clone(), true),
            ("super", _) => (from[..from.len() - 1].to_vec(), true),
            _ if self.modules.contains_key(&child(from, first)) => (child(from, first), true),
            (_, Some(import)) => self.resolve(from, &import.path, depth)?,
            (_, None) => self.modules.contains_key(std::slice::from_ref(first)).then(|| (vec![first.clone()], true))?,
        };
        rest.iter().try_fold(start, |(at, is_module), part| {
            let inner = child(&at, part);
            match (part.as_str(), self.import(&at, part)) {
                _ if !is_module => Some((at, false)),
                ("super", _) => Some((at[..at.len() - 1].to_vec(), true)),
                ("self", _) => Some((at, true)),
                _ if self.modules.contains_key(&inner) => Some((inner, true)),
                (_, Some(import)) => self.resolve(&at, &import.path, depth),
                (_, None) => Some((at, false)),
            }
        })
    }

    /// What module `at` has imported as `name`.
    fn import(&self, at: &Name, name: &str) -> Option<&Use> {
        self.modules.get(at)?.uses.iter().find(|import| import.name == name)
    }
}

impl Source {
    fn new(code: &[Token<'_>]) -> Self {
        let (mut this, mut rest, mut is_public) = (Self::default(), code, false);
        while let Some((first, behind)) = rest.split_first() {
            rest = match first {
                Token::Word("use") => read_use(behind, &[], is_public, &mut this.uses),
                Token::Word(_) => {
                    let (path, behind) = read_path(rest);
                    is_public = *first == Token::Word("pub");
                    if path.len() > 1 {
                        this.paths.push(path);
                    }
                    behind
                }
                // The brackets of `pub(crate)` do not end it.
                Token::Mark('(') if is_public => behind.get(2..).unwrap_or_default(),
                Token::Path | Token::Mark(_) => {
                    is_public = false;
                    behind
                }
            };
        }
        this
    }
}

/// Words with `::` between them, and what stands behind.
fn read_path<'a, 'b>(mut code: &'a [Token<'b>]) -> (Vec<String>, &'a [Token<'b>]) {
    let mut path = Vec::new();
    while let [Token::Word(word), behind @ ..] = code {
        path.push((*word).to_owned());
        match behind {
            [Token::Path, after @ ..] if matches!(after.first(), Some(Token::Word(_))) => code = after,
            _ => return (path, behind),
        }
    }
    (path, code)
}

/// What stands behind `use`, below `base`. Returns what follows it.
fn read_use<'a, 'b>(code: &'a [Token<'b>], base: &[String], is_public: bool, uses: &mut Vec<Use>) -> &'a [Token<'b>] {
    let (words, mut rest) = read_path(code);
    let mut path = [base, &words].concat();
    if let [Token::Path, behind @ ..] = rest {
        rest = behind;
    }
    if let [Token::Mark('{'), behind @ ..] = rest {
        rest = behind;
        while !matches!(rest, [] | [Token::Mark('}'), ..]) {
            rest = read_use(rest, &path, is_public, uses);
            if let [Token::Mark(','), behind @ ..] = rest {
                rest = behind;
            }
        }
        return rest.get(1..).unwrap_or_default();
    }
    if words.last().is_some_and(|word| word == "self") && path.len() > 1 {
        path.pop();
    }
    let mut name = path.last().cloned().unwrap_or_default();
    match rest {
        [Token::Mark('*'), behind @ ..] => (name, rest) = ("*".to_owned(), behind),
        [Token::Word("as"), Token::Word(other), behind @ ..] => (name, rest) = ((*other).to_owned(), behind),
        _ => {}
    }
    uses.push(Use { name, path, is_public });
    rest
}

fn child(name: &[String], part: &str) -> Name {
    name.iter().cloned().chain([part.to_owned()]).collect()
}

/// The module that a file is.
fn name_of(path: &str) -> Name {
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    let (root, inner) = match parts.as_slice() {
        ["crates", name, "src", inner @ ..] => (name.replace('-', "_"), inner),
        ["src", "bin", name] => (format!("bin {name}"), &[][..]),
        ["src", "main"] => ("bin tallybox".to_owned(), &[][..]),
        ["src", inner @ ..] => ("tallybox".to_owned(), inner),
        _ => (path.to_owned(), &[][..]),
    };
    let inner = inner.iter().filter(|part| !["lib", "mod"].contains(part));
    std::iter::once(root).chain(inner.map(|part| (*part).to_owned())).collect()
}
