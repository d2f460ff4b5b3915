//! Packages of a simulation: what a build server made of a version, well or not.

use rollout::Sha256Hex;

use crate::update_files::ARCHITECTURE;

/// Where packages lie, by the number of their build.
pub(in crate::sim) const SERVER: &str = "packages.example.cn";
/// What is installed first.
pub(in crate::sim) const FIRST_VERSION: &str = "0.1.0-1";

/// What becomes of a box that installs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Quality {
    /// It is well.
    Good,
    /// It runs, and is never well.
    Unwell,
    /// It cannot be installed.
    Broken,
    /// It says that it is another version than its release does.
    Mislabelled,
}

/// One of the packages that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Build(pub(in crate::sim) u8);

impl Build {
    /// The version that its release names.
    pub(in crate::sim) fn version(self) -> String {
        format!("0.{}.0-1", 2 + self.0 % 4)
    }

    fn quality(self) -> Quality {
        match self.0 / 4 % 8 {
            0..=4 => Quality::Good,
            5 => Quality::Unwell,
            6 => Quality::Broken,
            _ => Quality::Mislabelled,
        }
    }

    /// Its bytes: what `dpkg-deb` says of it, what becomes of it, and something that makes it long.
    pub(in crate::sim) fn bytes(self) -> Vec<u8> {
        let quality = self.quality();
        let version = if quality == Quality::Mislabelled { "0.9.0-1".to_owned() } else { self.version() };
        let Self(number) = self;
        let head = package(&version, quality);
        let length = 500 + usize::from(number) * 90;
        let rest = (0..length).map(|at| b'a' + u8::try_from((at * usize::from(number | 1)) % 26).unwrap_or(0));
        head.into_bytes().into_iter().chain(rest).collect()
    }

    /// Where it lies.
    pub(in crate::sim) fn url(self) -> String {
        format!("https://{SERVER}/{}.deb", self.0)
    }

    /// The one at this address.
    pub(in crate::sim) fn at(url: &str) -> Option<Self> {
        let (_, name) = url.rsplit_once('/')?;
        name.strip_suffix(".deb")?.parse().ok().map(Self)
    }
}

fn package(version: &str, quality: Quality) -> String {
    format!(
        "Package: tallybox\nVersion: {version}\nArchitecture: {ARCHITECTURE}\nInstalled-Size: 40\nQuality: {quality:?}\n\n"
    )
}

/// The package that is installed first.
pub(in crate::sim) fn first() -> String {
    package(FIRST_VERSION, Quality::Good)
}

/// What a package says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Label {
    /// As `dpkg-deb -f` has it.
    pub(in crate::sim) fields: String,
    pub(in crate::sim) version: String,
    pub(in crate::sim) quality: Quality,
    pub(in crate::sim) digest: Sha256Hex,
}

impl Label {
    /// Reads it; `None`: it is no package.
    pub(in crate::sim) fn of(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, _) = text.split_once("\n\n")?;
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let all = [Quality::Good, Quality::Unwell, Quality::Broken, Quality::Mislabelled];
        let quality = all.into_iter().find(|quality| format!("{quality:?}") == field("Quality").unwrap_or_default())?;
        let fields = head.lines().filter(|line| !line.starts_with("Quality")).map(|line| format!("{line}\n"));
        Some(Self {
            fields: fields.collect(),
            version: field("Version")?.to_owned(),
            quality,
            digest: Sha256Hex::of(bytes),
        })
    }
}
