//! The documents: each link in them leads somewhere, and each command that they name exists.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document that a reader may come to.
fn documents() -> Vec<PathBuf> {
    let mut all = vec![root().join("README.md"), root().join("CHANGELOG.md"), root().join("config/README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                all.push(path);
            }
        }
    }
    assert!(all.len() > 12, "{all:?}");
    all
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The text without what stands between fences.
fn prose(text: &str) -> String {
    let parts = text.split("```");
    parts.step_by(2).collect()
}

/// Targets of `[words](target)`.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let behind = prose.split("](").skip(1);
    behind.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// Headings as GitHub names them in a link.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    let name = |heading: &String| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let plain = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        plain.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.iter().map(name).collect()
}

#[test]
fn each_link_leads_somewhere() {
    let mut lost = Vec::new();
    let mut count = 0;
    for document in documents() {
        for link in links(&text(&document)) {
            if link.contains("://") {
                continue;
            }
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            let known = target.exists() && (anchor.is_empty() || anchors(&text(&target)).contains(anchor));
            if !known {
                lost.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(lost.is_empty() && count > 20, "{count} links, and these lead nowhere: {lost:#?}");
}

#[test]
fn each_document_is_reached_from_the_readme() {
    let (mut reached, mut next) = (BTreeSet::new(), vec![root().join("README.md")]);
    while let Some(document) = next.pop() {
        if !reached.insert(document.canonicalize().unwrap()) {
            continue;
        }
        let dir = document.parent().unwrap().to_owned();
        let markdown = |link: &String| {
            link.split('#').next().is_some_and(|path| Path::new(path).extension().is_some_and(|end| end == "md"))
        };
        next.extend(
            links(&text(&document))
                .iter()
                .filter(|link| markdown(link))
                .map(|link| dir.join(link.split('#').next().unwrap())),
        );
    }
    let lost: Vec<_> =
        documents().into_iter().filter(|path| !reached.contains(&path.canonicalize().unwrap())).collect();
    assert!(lost.is_empty(), "no way leads from README.md to {lost:?}");
}

/// What stands behind `tallybox` in a document's commands: the command, and its options up to the next pipe or comment.
fn calls(text: &str) -> BTreeSet<(String, Vec<String>)> {
    let mut found = BTreeSet::new();
    let code = text.split("```").skip(1).step_by(2).flat_map(str::lines);
    let inline = prose(text);
    let spans = inline.split('`').skip(1).step_by(2);
    for line in code.chain(spans) {
        let mut words = line.split_whitespace().skip_while(|word| *word == "sudo");
        if words.next() != Some("tallybox") {
            continue;
        }
        let words: Vec<_> = words.take_while(|word| !word.starts_with(['#', '|', '>', '<'])).collect();
        let Some(command) = words.first().filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        else {
            continue;
        };
        let options = words
            .iter()
            .filter(|word| word.starts_with("--"))
            .map(|word| word.trim_end_matches(['.', ',', ';']).to_owned());
        found.insert(((*command).to_owned(), options.collect()));
    }
    found
}

#[test]
fn each_command_in_the_documents_exists() {
    let help = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tallybox")).args(words).arg("--help").output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    };
    let (mut wrong, mut count) = (Vec::new(), 0);
    for document in documents() {
        for (command, options) in calls(&text(&document)) {
            if command == "help" || (command == "demo" && cfg!(not(feature = "demo"))) {
                continue;
            }
            count += 1;
            // Options of `ledger show` and its like stand in the help of those.
            let mut all = help(&[&command]).unwrap_or_default();
            for inner in ["show", "verify", "export", "report"] {
                all += &help(&[&command, inner]).unwrap_or_default();
            }
            let missing = options.iter().any(|option| !all.contains(option.split('=').next().unwrap()));
            if all.is_empty() || missing {
                wrong.push(format!("{}: tallybox {command} {}", document.display(), options.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty() && count > 15, "{count} commands, and these do not exist: {wrong:#?}");
}

/// Each visible command below `command`, as it is called, with its visible long options.
fn visible(command: &clap::Command) -> Vec<(Vec<String>, Vec<String>)> {
    let mut all = Vec::new();
    let mut next = vec![(Vec::new(), command)];
    while let Some((words, command)) = next.pop() {
        let options = command.get_arguments().filter(|argument| !argument.is_hide_set());
        let options = options.filter_map(|argument| argument.get_long()).map(|long| format!("--{long}")).collect();
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
            let mut words: Vec<String> = words.clone();
            words.push(inner.get_name().to_owned());
            next.push((words, inner));
        }
        all.push((words, options));
    }
    all
}

#[test]
fn completions_manual_pages_and_help_know_each_command_and_option() {
    let mut command = tallybox::cli::command().disable_help_subcommand(true);
    command.build();
    let all = visible(&command);
    assert!(all.len() > 15, "{all:?}");
    let completions =
        [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish].map(|shell| {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut tallybox::cli::command(), "tallybox", &mut script);
            (shell.to_string(), String::from_utf8(script).unwrap())
        });
    for (words, options) in &all {
        let page = words.iter().try_fold(&command, |at, word| at.find_subcommand(word)).unwrap();
        let mut manual = Vec::new();
        clap_mangen::Man::new(page.clone()).render(&mut manual).unwrap();
        let manual = String::from_utf8(manual).unwrap().replace("\\-", "-");
        let output = Command::new(env!("CARGO_BIN_EXE_tallybox")).args(words).arg("--help").output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        let help = String::from_utf8(output.stdout).unwrap();
        for option in options {
            assert!(help.contains(option.as_str()), "help of {words:?} has no {option}");
            assert!(manual.contains(option.as_str()), "manual page of {words:?} has no {option}");
        }
        for (shell, script) in &completions {
            // Fish has long options without their dashes.
            let missing = words.iter().chain(options).find(|word| !script.contains(word.trim_start_matches('-')));
            assert_eq!(missing, None, "{shell}: {words:?}");
        }
    }
}
