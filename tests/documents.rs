//! The documents: each link in them leads somewhere, each command that they name exists, each page says for whom it is,
//! and no line is longer than an editor shows.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Longest line of a document, in characters.
const LONGEST: usize = 120;

/// Every file below `dir`, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "md")
}

/// A path as it stands in the repository.
fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// Every document that a reader may come to.
fn documents() -> Vec<PathBuf> {
    let top = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = top.filter(|path| path.is_file()).collect();
    for folder in ["config", "docs"] {
        all.extend(files(&root().join(folder)));
    }
    all.retain(|path| is_markdown(path));
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

/// What makes the package's documents takes links line by line.
#[test]
fn each_link_is_on_one_line() {
    let mut broken = Vec::new();
    for document in documents() {
        for line in prose(&text(&document)).lines() {
            let pieces: Vec<_> = line.split("](").collect();
            if pieces.windows(2).any(|pair| !pair[0].contains('[') || !pair[1].contains(')')) {
                broken.push(format!("{}: {line}", name(&document)));
            }
        }
    }
    assert!(broken.is_empty(), "links over two lines: {broken:#?}");
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

#[test]
fn no_document_has_a_line_over_120_characters() {
    let mut long = Vec::new();
    for document in documents() {
        for (number, line) in text(&document).lines().enumerate() {
            // An address cannot be broken.
            let is_address = line.contains("://") && !line.trim().contains(' ');
            if line.chars().count() > LONGEST && !is_address {
                long.push(format!("{}:{}: {}", name(&document), number + 1, line.chars().count()));
            }
        }
    }
    assert!(long.is_empty(), "lines over {LONGEST} characters: {long:#?}");
}

/// For whom a page may be. docs/README.md lists the pages by reader.
const READERS: [&str; 5] = ["integrators", "operators", "developers", "privacy officers", "everybody"];

/// For whom a page says that it is: its first line after the title begins like `For operators and integrators:`.
fn readers(text: &str) -> Vec<&str> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let title = lines.next().is_some_and(|line| line.starts_with("# "));
    let first = lines.next().filter(|_| title).and_then(|line| line.strip_prefix("For ")).unwrap_or_default();
    let clause = first.split_inclusive([':', '.']).next().filter(|clause| clause.ends_with([':', '.']));
    READERS.into_iter().filter(|reader| clause.is_some_and(|clause| clause.contains(reader))).collect()
}

#[test]
fn each_page_says_for_whom_it_is() {
    assert_eq!(readers("# T\n\nFor operators and privacy officers: x"), ["operators", "privacy officers"]);
    assert_eq!(readers("# T\n\nFor developers. x"), ["developers"]);
    for silent in ["# T\n\nFor nobody: operators", "# T\n\nThis page: operators", "For operators: x\n\n# T"] {
        assert!(readers(silent).is_empty(), "{silent}");
    }
    // Decision records have a form of their own; the page that lists them says for whom they are.
    let pages = documents()
        .into_iter()
        .filter(|path| !name(path).starts_with("docs/decisions/") || path.ends_with("README.md"));
    let pages: Vec<_> = pages.filter(|path| path.parent() != Some(root())).collect();
    assert!(pages.len() > 8, "{pages:?}");
    let silent: Vec<_> = pages.iter().filter(|path| readers(&text(path)).is_empty()).map(|path| name(path)).collect();
    assert!(silent.is_empty(), "the first line after the title does not say for whom the page is: {silent:?}");
}

const DOCSTRING: &str = "\"\"\"";

/// Names that the sources give to threads.
fn thread_names(source: &str) -> BTreeSet<String> {
    let joined: String = source.split_whitespace().collect();
    let mut names = BTreeSet::new();
    for call in [".name(\"", "spawn(\"", "detached(\""] {
        for rest in joined.split(call).skip(1) {
            // An element of GStreamer is named by a plain text.
            let Some((name, end)) = rest.split_once('"') else { continue };
            if call != ".name(\"" || end.starts_with(".to_owned())") {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn each_thread_is_in_the_code_structure() {
    let sample = "Builder::new().name(\"a\".to_owned()); AppSrc::builder().name(\"b\"); Worker::spawn(\n \"c\", work)";
    assert_eq!(thread_names(sample), ["a", "c"].map(str::to_owned).into());
    let page = text(&root().join("docs/code-structure.md"));
    let tests = |path: &PathBuf| name(path).contains("tests") || path.ends_with("src/worker.rs");
    let names: BTreeSet<_> = files(&root().join("src"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs") && !tests(path))
        .flat_map(|path| thread_names(&text(&path)))
        .collect();
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty() && names.len() > 12, "threads {names:?}, and these are not on the page: {missing:?}");
}

/// Whether a text between backticks is a path of the sources; `…` and `*` stand for several.
fn is_source(text: &&str) -> bool {
    ["src/", "crates/", "tests/", "benches/", "packaging/", "scripts/", "systemd/"]
        .iter()
        .any(|dir| text.starts_with(dir))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/-_.@".contains(c))
}

#[test]
fn each_source_that_the_documents_name_exists() {
    let (mut gone, mut count) = (Vec::new(), 0);
    for document in documents().into_iter().filter(|path| !name(path).starts_with("docs/decisions/")) {
        for path in prose(&text(&document)).split('`').skip(1).step_by(2).filter(is_source) {
            count += 1;
            if !root().join(path).exists() {
                gone.push(format!("{}: {path}", name(&document)));
            }
        }
    }
    assert!(gone.is_empty() && count > 40, "{count} sources are named, and these do not exist: {gone:#?}");
}

/// How a comment begins in a file, if it can have comments.
fn comment_marks(path: &Path, text: &str) -> &'static [&'static str] {
    match path.extension().and_then(std::ffi::OsStr::to_str) {
        Some("rs" | "js" | "c" | "h" | "css") => &["//", "/*", "* "],
        Some("py" | "sh" | "toml" | "conf" | "service" | "socket" | "path" | "target" | "rules" | "acl" | "map") => {
            &["#", DOCSTRING]
        }
        Some("sysusers" | "tmpfiles") => &["#"],
        _ if text.starts_with("#!") => &["#", DOCSTRING],
        _ => &[],
    }
}

/// Everything that may name a page.
fn sources() -> Vec<PathBuf> {
    let mut paths = vec![root().join("Cargo.toml"), root().join("Makefile"), root().join(".ci/run")];
    for folder in ["benches", "config", "crates", "docs", "examples", "packaging", "scripts", "src", "systemd", "tests"]
    {
        paths.extend(files(&root().join(folder)));
    }
    paths
}

/// Pages of this repository that a text names: `docs/…md`.
fn pages_named(text: &str) -> BTreeSet<String> {
    let names = text.split("docs/").skip(1).filter_map(|rest| {
        let path: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "/-_.".contains(*c)).collect();
        path.find(".md").map(|end| format!("docs/{}.md", &path[..end]))
    });
    names.collect()
}

#[test]
fn each_page_that_is_named_exists() {
    assert!(pages_named("see docs/a-b/README.md.").contains("docs/a-b/README.md"));
    let (mut gone, mut count) = (Vec::new(), 0);
    // This file names pages that do not exist.
    for path in sources().into_iter().filter(|path| !path.ends_with("tests/documents.rs")) {
        // Pictures and footage are no text.
        for page in pages_named(&std::fs::read_to_string(&path).unwrap_or_default()) {
            count += 1;
            if !root().join(&page).exists() {
                gone.push(format!("{}: {page}", name(&path)));
            }
        }
    }
    assert!(gone.is_empty() && count > 30, "{count} pages are named, and these do not exist: {gone:#?}");
}

#[test]
fn no_comment_has_a_line_over_120_characters() {
    let (mut long, mut count) = (Vec::new(), 0);
    for path in sources() {
        // Pictures and footage are no text.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let marks = if path.ends_with("Makefile") { &["#"] } else { comment_marks(&path, &text) };
        // Whether the text between triple quotes that a line is in is a docstring: it begins a line.
        let mut quoted: Option<bool> = None;
        for (number, line) in text.lines().enumerate() {
            let begins = marks.iter().any(|mark| line.trim_start().starts_with(mark));
            let is_comment = quoted.unwrap_or(begins);
            if marks.contains(&DOCSTRING) && line.matches(DOCSTRING).count() == 1 {
                quoted = if quoted.is_some() { None } else { Some(begins) };
            }
            count += usize::from(is_comment);
            if is_comment && line.chars().count() > LONGEST {
                long.push(format!("{}:{}: {}", name(&path), number + 1, line.chars().count()));
            }
        }
    }
    assert!(long.is_empty() && count > 500, "{count} comments, and these are over {LONGEST} characters: {long:#?}");
}

/// Names of our own environment variables in a text.
fn variables(text: &str) -> BTreeSet<String> {
    let is_name = |c: &char| c.is_ascii_uppercase() || *c == '_';
    let names = text.split("TALLYBOX_").skip(1).map(|rest| rest.chars().take_while(is_name).collect::<String>());
    names.filter(|name| !name.is_empty()).map(|name| format!("TALLYBOX_{name}")).collect()
}

#[test]
fn contributing_lists_each_environment_variable() {
    let listed = variables(&text(&root().join("CONTRIBUTING.md")));
    let texts = sources().into_iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let used: BTreeSet<_> = texts.flat_map(|text| variables(&text)).collect();
    let missing: Vec<_> = used.difference(&listed).collect();
    assert!(missing.is_empty() && used.len() > 10, "CONTRIBUTING.md does not list {missing:?} of {used:?}");
}

#[test]
fn the_changelog_becomes_that_of_the_package() {
    let mut command = Command::new("python3");
    command.args(["packaging/changelog.py", "0.1.0-1", "0", "A <a@b.example>"]).current_dir(root());
    let output = command.output().expect("python3, which scripts/setup test installs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (made, written) = (String::from_utf8(output.stdout).unwrap(), text(&root().join("CHANGELOG.md")));
    assert!(made.starts_with("tallybox (0.1.0-1) "), "{made}");
    let count = |text: &str| text.lines().filter(|line| line.trim_start().starts_with("- ")).count();
    assert!(count(&made) == count(&written) && count(&made) > 20, "{made}");
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
