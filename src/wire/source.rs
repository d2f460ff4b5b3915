//! Strings that no table has, read from the source: environment variables, files, units, fields of log lines.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if ["test", "bench", "simulat", "wire", "fuzzing"].iter().any(|word| name.contains(word)) {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The product's code below `folders`, without its comments and tests.
fn code(folders: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    folders
        .iter()
        .filter(|folder| root.join(folder).is_dir())
        .for_each(|folder| sources(&root.join(folder), &mut files));
    let mut all = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = product.lines().filter(|line| !line.trim_start().starts_with("//"));
        // Attributes name modules and serde's own words.
        lines.filter(|line| !line.trim_start().starts_with("#[")).for_each(|line| {
            all.push_str(line);
            all.push('\n');
        });
    }
    all
}

/// The strings that stand in `code` on one line.
fn strings(code: &str) -> BTreeSet<&str> {
    let lines = code.lines().flat_map(|line| line.split('"').skip(1).step_by(2));
    lines.collect()
}

fn pin(name: &str, found: impl IntoIterator<Item = impl AsRef<str>>) {
    let lines: BTreeSet<String> = found.into_iter().map(|line| format!("{}\n", line.as_ref())).collect();
    super::pin(name, &lines.into_iter().collect::<String>());
}

#[test]
fn environment_variables() {
    let code = code(&["src", "crates"]);
    let upper = |text: &str| text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let known = strings(&code).into_iter().filter(|text| text.contains('_') && text.len() > 3 && upper(text));
    // `GRAY16_LE` is GStreamer's name of a raw format.
    pin("environment", known.filter(|name| !name.starts_with("CARGO_") && !name.starts_with("GRAY")));
}

#[test]
fn files_and_units() {
    const ENDS: [&str; 14] = [
        ".conf", ".d", ".db", ".journal", ".key", ".lock", ".log", ".pem", ".pid", ".service", ".sock", ".socket",
        ".target", ".toml",
    ];
    let code = code(&["src", "crates"]);
    let file = |text: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._@/".contains(c);
        let ends = ENDS.iter().any(|end| text.ends_with(end));
        ends && text.chars().all(plain)
    };
    let units = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")).unwrap();
    let units = units.map(|entry| format!("systemd/{}", entry.unwrap().file_name().display()));
    pin("files", strings(&code).into_iter().filter(|text| file(text)).map(str::to_owned).chain(units));
}

/// Topics, words in topics, files without an ending: all words of the rooms that write them.
#[test]
fn words_of_agent_guard_and_ledger() {
    let code =
        code(&["src/agent", "src/guard", "src/judges", "src/ledger", "src/ipc", "src/consent", "crates/consent"]);
    let word = |text: &str| {
        let mut letters = text.chars();
        let begins = letters.next().is_some_and(|c| c.is_ascii_lowercase());
        begins && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-+/".contains(c))
    };
    pin("words", strings(&code).into_iter().filter(|text| word(text)));
}

#[test]
fn tables_of_the_ledger() {
    let code = code(&["src"]);
    let tables =
        code.lines().filter_map(|line| line.split_once("CREATE TABLE ")).map(|(_, table)| table.split(';').next());
    pin("ledger-tables", tables.flatten());
}

/// The fields of `tracing`'s macros, without the message.
#[test]
fn fields_of_log_lines() {
    let code = code(&["src", "crates"]);
    let mut fields = BTreeSet::new();
    for call in code.split("tracing::").skip(1) {
        let Some((name, rest)) = call.split_once("!(") else { continue };
        if !["debug", "error", "info", "trace", "warn"].contains(&name) {
            continue;
        }
        let before = rest.split('"').next().unwrap_or_default();
        let named = before.split(',').map(|field| field.split('=').next().unwrap_or_default());
        fields.extend(named.map(|field| field.trim().trim_start_matches(['%', '?'])).filter(|field| !field.is_empty()));
    }
    pin("log-fields", fields);
}
