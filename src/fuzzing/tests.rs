//! Each target on its corpus, and on what is made of the corpus and of its dictionary's words.

use std::fmt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{TARGETS, Target};

/// Longest input that is made, in bytes.
const LONGEST: usize = 4096;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The files of a target's corpus, in the order of their names.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let dir = folder().join("corpus").join(target.name);
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// The words of a dictionary in libFuzzer's form: one in quotes on a line, with `\\`, `\"` and `\xAB` in it.
fn words(name: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(folder().join(format!("dictionaries/{name}.dict"))).unwrap();
    let word = |line: &str| {
        let quoted = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).expect("a word in quotes");
        let (mut word, mut rest) = (Vec::new(), quoted.as_bytes());
        while let [first, behind @ ..] = rest {
            let byte;
            (byte, rest) = match (first, behind) {
                (b'\\', [b'x', high, low, behind @ ..]) => {
                    let digits = String::from_utf8(vec![*high, *low]).unwrap();
                    (u8::from_str_radix(&digits, 16).unwrap(), behind)
                }
                (b'\\', [letter, behind @ ..]) | (letter, behind) => (*letter, behind),
            };
            word.push(byte);
        }
        word
    };
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(word).collect()
}

/// An input that is shown as text.
#[derive(Clone)]
struct Bytes(Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// A change of an input.
#[derive(Clone, Debug)]
enum Edit {
    Set(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
    /// What follows is another input's end.
    Splice(usize, usize),
    Truncate(usize),
}

fn edit(words: Vec<Vec<u8>>) -> impl Strategy<Value = Edit> {
    let inserted = prop_oneof![
        4 => prop::sample::select(words),
        1 => proptest::collection::vec(any::<u8>(), 1..9),
        1 => ".{1,6}".prop_map(String::into_bytes),
    ];
    prop_oneof![
        3 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        4 => (any::<usize>(), inserted).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (any::<usize>(), 1..40_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        1 => (any::<usize>(), 1..80_usize).prop_map(|(at, length)| Edit::Repeat(at, length)),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(at, other)| Edit::Splice(at, other)),
        1 => any::<usize>().prop_map(Edit::Truncate),
    ]
}

fn apply(mut bytes: Vec<u8>, edit: &Edit, corpus: &[Vec<u8>]) -> Vec<u8> {
    let place = |at: usize, bytes: &[u8]| at % (bytes.len() + 1);
    match edit {
        Edit::Set(at, byte) => {
            let at = place(*at, &bytes);
            bytes.get_mut(at).into_iter().for_each(|old| *old = *byte);
        }
        Edit::Insert(at, new) => {
            let at = place(*at, &bytes);
            bytes.splice(at..at, new.iter().copied());
        }
        Edit::Remove(at, length) => {
            let at = place(*at, &bytes);
            bytes.drain(at..bytes.len().min(at + length));
        }
        Edit::Repeat(at, length) => {
            let at = place(*at, &bytes);
            let part = bytes[at..bytes.len().min(at + length)].to_vec();
            bytes.splice(at..at, part);
        }
        Edit::Splice(at, other) => {
            let other = &corpus[other % corpus.len()];
            let (at, from) = (place(*at, &bytes), place(*at, other));
            bytes.truncate(at);
            bytes.extend(&other[from..]);
        }
        Edit::Truncate(at) => bytes.truncate(place(*at, &bytes)),
    }
    bytes.truncate(LONGEST);
    bytes
}

/// Inputs as somebody hostile makes them: from good ones, from words in any order, from nothing.
fn inputs(corpus: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> impl Strategy<Value = Bytes> {
    let known = corpus.clone();
    let edits = proptest::collection::vec(edit(words.clone()), 0..8);
    let edited = (prop::sample::select(corpus), edits)
        .prop_map(move |(begin, edits)| edits.iter().fold(begin, |bytes, edit| apply(bytes, edit, &known)));
    let spoken = proptest::collection::vec(prop::sample::select(words), 0..40).prop_map(|words| words.concat());
    let noise = proptest::collection::vec(any::<u8>(), 0..300);
    prop_oneof![6 => edited, 2 => spoken, 1 => noise].prop_map(Bytes)
}

/// The target called `name` finds nothing: in its corpus, and in some of what follows from it. `TALLYBOX_LONG=1`: more,
/// and others at each run.
pub(super) fn hold(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let (corpus, words) = (corpus(target), words(target.dictionary));
    for input in &corpus {
        (target.run)(input);
    }
    let is_long = std::env::var_os("TALLYBOX_LONG").is_some();
    let config = Config { cases: if is_long { 20_000 } else { 60 }, failure_persistence: None, ..Config::default() };
    let rng = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = if is_long { TestRunner::new(config) } else { TestRunner::new_with_rng(config, rng) };
    let ended = runner.run(&inputs(corpus, words), |Bytes(input)| {
        (target.run)(&input);
        Ok(())
    });
    if let Err(error) = ended {
        panic!("{name}: {error}");
    }
}

#[test]
fn each_target_has_a_corpus_and_a_place_in_the_document() {
    let document = std::fs::read_to_string(folder().join("../docs/fuzzing.md")).unwrap();
    let mut names: Vec<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    for name in &names {
        assert!(document.contains(&format!("| `{name}` |")), "{name} is missing in docs/fuzzing.md");
    }
    let folders = std::fs::read_dir(folder().join("corpus")).unwrap();
    let mut found: Vec<_> = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    names.sort();
    assert_eq!(found, names);
    let mut sizes = found.iter().flat_map(|name| std::fs::read_dir(folder().join("corpus").join(name)).unwrap());
    let bytes: u64 = sizes.by_ref().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 1024 * 1024, "{bytes} bytes: minimise the corpora");
}
