//! Manual pages and shell completions, made from the definition that the program itself parses by, so they cannot say
//! anything else.

use std::io::{Error, Result};
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use tallybox::exit::CODES;

/// The section about exit codes.
fn exit_status() -> String {
    let codes = CODES.iter().map(|(code, means)| format!(".TP\n{code}\n{means}\n"));
    format!(".SH \"EXIT STATUS\"\n0 where all is well; otherwise as sysexits.h has it:\n{}", codes.collect::<String>())
}

/// One page for `command`, called as it is shown to be called, and one for each command under it. `more` is what the
/// first page tells beside its commands.
fn manual(command: &Command, program: &str, more: &str, dir: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let mut page = Vec::new();
    // The page has a section of its own for the exit codes that the help ends with.
    Man::new(command.clone().after_help(None::<&str>))
        .manual(program)
        .source(concat!("tallybox ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)?;
    if name == program {
        page.extend(more.as_bytes());
        page.extend(exit_status().as_bytes());
    }
    std::fs::write(dir.join(format!("{name}.1")), page)?;
    let mut subcommands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    subcommands.try_for_each(|sub| manual(sub, program, more, dir))
}

/// Writes all of them into the directory that the command line names.
pub(crate) fn write(program: &str, command: fn() -> Command, more: &str) -> Result<()> {
    let dir = std::env::args_os().nth(1).ok_or_else(|| Error::other("usage: man-pages DIRECTORY"))?;
    let dir = Path::new(&dir);
    let (man, completions) = (dir.join("man"), dir.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    let mut described = command().disable_help_subcommand(true);
    // Building fills in usage lines, inherited options, and the names as they are called: tallybox-ledger-show.
    described.build();
    manual(&described, program, more, &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command(), program, &completions)?;
    }
    Ok(())
}
