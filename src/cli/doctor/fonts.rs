//! Whether the words on the picture can be drawn.

use super::host::HostFiles;
use super::{CheckResult, ok, warn};
use crate::config::{Config, Overlay};

/// Where Debian's packages and the integrator put fonts (fontconfig's own list in `/etc/fonts/fonts.conf`).
const FOLDERS: [&str; 2] = ["/usr/share/fonts", "/usr/local/share/fonts"];
/// What outline fonts are called.
const ENDS: [&str; 4] = [".ttf", ".otf", ".ttc", ".pfb"];
/// What files of fonts with Chinese, Japanese or Korean signs have in their names: Noto, Source Han, `WenQuanYi`,
/// Arphic, Droid, Unifont, Nanum, Takao, IPA.
const EASTERN: [&str; 10] =
    ["cjk", "sourcehan", "wqy", "uming", "ukai", "fallback", "unifont", "nanum", "takao", "ipa"];
/// From here on Unicode has the signs of East Asia: radicals first.
const FIRST_EASTERN: char = '\u{2e80}';
/// Packages put fonts two folders deep.
const DEPTH: usize = 4;

/// One row where words are configured; without any nobody needs fonts.
pub(super) fn row(machine: &HostFiles, config: &Config) -> Option<CheckResult> {
    let Overlay { text, clock } = &config.overlay;
    if text.is_none() && !clock {
        return None;
    }
    let mut found = Vec::new();
    for folder in FOLDERS {
        look(machine, folder, DEPTH, &mut found);
    }
    let eastern = text.as_ref().is_some_and(|text| text.chars().any(|sign| sign >= FIRST_EASTERN));
    let fits = |name: &String| !eastern || EASTERN.iter().any(|part| name.contains(part));
    Some(if found.iter().any(fits) {
        ok("fonts", format!("{} for the words of [overlay]", found.len()))
    } else if eastern {
        let advice = "install fonts-noto-cjk (apt-get install fonts-noto-cjk): boxes stand in the place of its signs";
        warn("fonts", "none that has the signs of [overlay] text", advice)
    } else {
        let advice = "install fonts-dejavu-core (apt-get install fonts-dejavu-core): the stream goes on without them";
        warn("fonts", "none: the words of [overlay] are left out", advice)
    })
}

fn look(machine: &HostFiles, folder: &str, depth: usize, found: &mut Vec<String>) {
    for name in machine.names(folder) {
        let path = format!("{folder}/{name}");
        let lower = name.to_lowercase();
        if ENDS.iter().any(|end| lower.ends_with(end)) {
            found.push(lower);
        } else if depth > 0 {
            look(machine, &path, depth - 1, found);
        }
    }
}
