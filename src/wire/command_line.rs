//! Every command, option and value of the command line, and the exit codes.

use std::fmt::Write as _;

use clap::Command;

fn describe(path: &str, command: &Command, lines: &mut String) {
    let name = format!("{path}{}", command.get_name());
    let aliases: Vec<&str> = command.get_all_aliases().collect();
    writeln!(lines, "{name}{}{}", if command.is_hide_set() { " (hidden)" } else { "" }, aliases.join(", ")).unwrap();
    for argument in command.get_arguments() {
        let long = argument.get_long().map(|long| format!(" --{long}"));
        let short = argument.get_short().map(|short| format!(" -{short}"));
        let names: Vec<_> = argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
        let values = if argument.get_action().takes_values() { argument.get_possible_values() } else { Vec::new() };
        let values: Vec<_> = values.iter().map(|value| value.get_name().to_owned()).collect();
        let defaults: Vec<_> =
            argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        let flags = [
            (argument.is_required_set(), "required"),
            (argument.is_hide_set(), "hidden"),
            (argument.is_global_set(), "global"),
        ];
        let flags = flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned());
        let lists = [("", names), ("one of ", values), ("default ", defaults)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let more: Vec<String> = lists.map(|(what, list)| format!("{what}{}", list.join("|"))).chain(flags).collect();
        writeln!(
            lines,
            "{name}{}{} {:?} {}",
            long.as_deref().unwrap_or_default(),
            short.as_deref().unwrap_or_default(),
            argument.get_action(),
            more.join(", ")
        )
        .unwrap();
    }
    for command in command.get_subcommands() {
        describe(&format!("{name} "), command, lines);
    }
}

#[test]
fn commands_options_and_exit_codes() {
    let mut lines = String::new();
    describe("", &crate::cli::command(), &mut lines);
    let mut lines: Vec<&str> = lines.lines().collect();
    let codes = crate::exit::CODES.map(|(code, means)| format!("{code} {means}"));
    lines.extend(codes.iter().map(String::as_str));
    super::pin("command-line", &(lines.join("\n") + "\n"));
}
