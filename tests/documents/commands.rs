//! Each command that the documents name exists; completions, manual pages and help know each option.

use std::collections::BTreeSet;
use std::process::Command;

use super::{documents, prose, text};

/// What stands behind `tallybox` in a document's commands: the command, and its options up to the next pipe or comment.
fn calls(text: &str) -> BTreeSet<(Vec<String>, Vec<String>)> {
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
        let is_name = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
        let path: Vec<String> = words.iter().take_while(is_name).map(|word| (*word).to_owned()).collect();
        if path.is_empty() {
            continue;
        }
        let options = words
            .iter()
            .filter(|word| word.starts_with("--"))
            .map(|word| word.trim_end_matches(['.', ',', ';']).to_owned());
        found.insert((path, options.collect()));
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
        for (path, options) in calls(&text(&document)) {
            if path[0] == "help" || (path[0] == "demo" && cfg!(not(feature = "demo"))) {
                continue;
            }
            count += 1;
            // Options of `note key generate` and its like stand in the help of those; the last words may be arguments.
            let words: Vec<&str> = path.iter().map(String::as_str).collect();
            let Some(first) = help(&words[..1]) else {
                wrong.push(format!("{}: tallybox {}", document.display(), path.join(" ")));
                continue;
            };
            let inner = (2..=words.len()).filter_map(|length| help(&words[..length]));
            let all = inner.fold(first, |all, text| all + &text);
            let missing = options.iter().any(|option| !all.contains(option.split('=').next().unwrap()));
            if missing {
                wrong.push(format!("{}: tallybox {} {}", document.display(), path.join(" "), options.join(" ")));
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
