//! Writes the manual pages and shell completions of the package into a directory: `man-pages DIRECTORY`.

mod pages;

/// What the first page tells beside its commands; the rest is in docs/operations.md.
const MORE: &str = r".SH FILES
.TP
\fI/etc/tallybox/tallybox.toml\fR
The configuration; files in \fIconf.d/\fR beside it override it.
.TP
\fI/var/lib/tallybox\fR
The consent ledger, and what the agent has still to tell the platform.
";

fn main() -> std::io::Result<()> {
    pages::write("tallybox", tallybox::cli::command, MORE)
}
