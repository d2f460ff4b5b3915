//! What cannot work inside of the units although it is a good configuration elsewhere: paths that a unit hides, keeps
//! apart or does not let its role write.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::{Role, Runner, Unit};
use crate::cli::host::HostFiles;
use crate::config::{AudioSource, Config, DEFAULT_PATH, Diagnostic, VideoSource, place_of};

/// What `ProtectHome=` hides (systemd.exec(5)).
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
/// What `PrivateTmp=` replaces.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];
/// ALSA devices that ask a sound server of somebody's session.
const SESSIONS: [&str; 3] = ["pulse", "pipewire", "jack"];

/// Why a role cannot use a path, and what would be right.
type Why = (String, &'static str);

impl Unit {
    fn lies_in(path: &Path, dirs: &[impl AsRef<Path>]) -> bool {
        let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        dirs.iter().any(|dir| path.starts_with(dir) || whole.starts_with(dir))
    }

    /// Paths of a list, without what says how they are meant.
    fn paths(&self, key: &str) -> Vec<PathBuf> {
        let bare = |word: String| word.trim_start_matches(['-', '+']).split(':').next_back().unwrap_or("").to_owned();
        self.words(key).into_iter().map(bare).filter(|path| path.starts_with('/')).map(PathBuf::from).collect()
    }

    /// Why the role does not see `path`, if it does not.
    pub(in crate::cli) fn hides(&self, path: &Path) -> Option<Why> {
        let unit = self.role.unit();
        let bound = [self.paths("BindPaths"), self.paths("BindReadOnlyPaths")].concat();
        if Self::lies_in(path, &bound) {
            return None;
        }
        let home = self.last("ProtectHome").is_some_and(|value| value == "tmpfs") || self.is_on("ProtectHome");
        if home && Self::lies_in(path, &HOMES) {
            let why = format!("{unit} sees nothing of /home and /root (ProtectHome)");
            return Some((why, "put it below /etc/tallybox or /var/lib/tallybox"));
        }
        let private = self.last("PrivateTmp").is_some_and(|value| value == "disconnected") || self.is_on("PrivateTmp");
        if private && Self::lies_in(path, &TEMPORARY) {
            let why = format!("{unit} has a /tmp of its own, which is new at each start (PrivateTmp)");
            return Some((why, "put it below /etc/tallybox or /var/lib/tallybox"));
        }
        let closed = self.paths("InaccessiblePaths");
        Self::lies_in(path, &closed).then(|| {
            let why = format!("{unit} does not see it (InaccessiblePaths)");
            (why, "put it somewhere else, such as below /etc/tallybox")
        })
    }

    /// Why the role does not write below `path`, if it does not.
    fn keeps_from_writing(&self, path: &Path) -> Option<String> {
        let named = |key: &str, base: &str| -> Vec<PathBuf> {
            self.words(key).iter().map(|word| Path::new(base).join(word.split(':').next().unwrap_or(""))).collect()
        };
        let open = [
            self.paths("ReadWritePaths"),
            self.paths("BindPaths"),
            named("RuntimeDirectory", "/run"),
            named("StateDirectory", "/var/lib"),
            named("CacheDirectory", "/var/cache"),
        ]
        .concat();
        let strict = self.last("ProtectSystem") == Some("strict");
        (strict && !Self::lies_in(path, &open)).then(|| {
            let unit = self.role.unit();
            format!("{unit} does not let its role write below {} (ProtectSystem)", path.display())
        })
    }
}

/// Looks for what cannot work in the units.
struct Search<'c> {
    config: &'c Config,
    units: Vec<Unit>,
    found: Vec<Diagnostic>,
}

impl Search<'_> {
    fn tell(&mut self, section: &str, key: &str, why: impl Display, advice: impl Into<String>) {
        let (file, at) = place_of(&self.config.path, section, key).unzip();
        self.found.push(Diagnostic {
            file: file.unwrap_or_else(|| self.config.path.clone()),
            at,
            message: format!("[{section}] {key}: {why}"),
            help: advice.into(),
        });
    }

    /// Whether a path says the same to every role.
    fn is_whole(&mut self, section: &str, key: &str, path: &Path) -> bool {
        if path.is_relative() {
            let why = format!("{} begins where the role is started, and units start theirs in /", path.display());
            self.tell(section, key, why, "write the whole path");
        }
        path.is_absolute()
    }

    fn read(&mut self, role: Role, section: &str, key: &str, path: &Path) {
        if !self.is_whole(section, key, path) {
            return;
        }
        let hidden = self.units.iter().find(|unit| unit.role == role).and_then(|unit| unit.hides(path));
        if let Some((why, advice)) = hidden {
            self.tell(section, key, format!("{}: {why}", path.display()), advice);
        }
    }

    /// A folder that the box cannot do without.
    fn write(&mut self, roles: &[Role], key: &str, path: &Path) {
        if !self.is_whole("device", key, path) {
            return;
        }
        let own = format!("leave {key} out; a file for one's own hands is run with tallybox run --config FILE");
        let units = self.units.iter().filter(|unit| roles.contains(&unit.role));
        let hidden = units.clone().find_map(|unit| unit.hides(path)).map(|(why, _)| (why, own));
        let closed = || {
            let closed = units.clone().find_map(|unit| Some((unit.keeps_from_writing(path)?, unit.role.unit())));
            closed.map(|(why, unit)| {
                let folder = path.display();
                let advice = format!(
                    "leave {key} out, or give {folder} to tallybox-guard and write ReadWritePaths={folder} into a \
                     drop-in: systemctl edit {unit}"
                );
                (why, advice)
            })
        };
        if let Some((why, advice)) = hidden.or_else(closed) {
            self.tell("device", key, format!("{}: {why}", path.display()), advice);
        }
    }

    fn media(&mut self) {
        let Config { video, audio, .. } = self.config;
        match video.source {
            VideoSource::File => self.read(Role::Capture, "video", "device", &video.device),
            VideoSource::V4l2 | VideoSource::Auto if !video.has_auto_device() && !may_be_camera(&video.device) => {
                let why = format!("{}: tallybox-capture@.service opens video nodes alone", video.device.display());
                self.tell("video", "device", why, "write a video node below /dev, such as /dev/v4l/by-id/...");
            }
            VideoSource::V4l2 | VideoSource::Auto | VideoSource::Libcamera | VideoSource::Test => {}
        }
        match audio.source {
            AudioSource::File => self.read(Role::Capture, "audio", "device", Path::new(&audio.device)),
            AudioSource::Auto | AudioSource::Alsa => {
                if SESSIONS.contains(&audio.device.split(':').next().unwrap_or_default()) {
                    let why = format!("{}: a sound server of somebody's session, which no unit reaches", audio.device);
                    let advice =
                        "write an ALSA device, such as \"default\" or \"plughw:CARD=C920\"; arecord -L lists them";
                    self.tell("audio", "device", why, advice);
                }
            }
            AudioSource::Test | AudioSource::None => {}
        }
    }

    fn servers(&mut self) {
        let config = self.config;
        for (section, to) in ["ingest", "ingest.second"].into_iter().zip(config.ingest.destinations()) {
            if let Some(ca) = &to.ca_file {
                self.read(Role::Capture, section, "ca-file", ca);
            }
        }
        let Some(mqtt) = &config.mqtt else { return };
        let files = [("ca-file", &mqtt.ca_file), ("crl-file", &mqtt.crl_file), ("client-cert", &mqtt.client_cert)];
        for (key, path) in files {
            if let Some(path) = path {
                self.read(Role::Agent, "mqtt", key, path);
            }
        }
        let key = mqtt.client_key.as_ref().and_then(crate::config::SecretTemplate::literal);
        if let Some(path) = key.filter(|key| !key.contains("-----BEGIN")) {
            self.read(Role::Agent, "mqtt", "client-key", Path::new(&path));
        }
    }
}

/// Whether `DeviceAllow=char-video4linux` lets capture open a node, as far as the node is there.
fn may_be_camera(node: &Path) -> bool {
    /// The kernel's number for video4linux (its Documentation/admin-guide/devices.txt).
    const VIDEO: u32 = 81;
    let is_video = |found: rustix::fs::Stat| rustix::fs::major(found.st_rdev) == VIDEO;
    node.starts_with("/dev") && rustix::fs::stat(node).map_or(true, is_video)
}

/// Whether units would run with the file at `path`: it is theirs, or lies where theirs does.
fn is_for_units(machine: &HostFiles, path: &Path) -> bool {
    let home = Path::new(DEFAULT_PATH).parent().unwrap_or(Path::new("/"));
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.starts_with(machine.path(&home.display().to_string()))
        || matches!(Runner::of(machine, path), Runner::Units(_))
}

/// Everything in a configuration that is for the units and that cannot work in them, as they are here, or as this
/// version brings them. Empty for a configuration that is not for the units.
pub(in crate::cli) fn misplaced(machine: &HostFiles, config: &Config) -> Vec<Diagnostic> {
    if !is_for_units(machine, &config.path) {
        return Vec::new();
    }
    let unit = |role| Unit::find(machine, role).unwrap_or_else(|| Unit::shipped(role));
    let mut search = Search { config, units: Role::ALL.into_iter().map(unit).collect(), found: Vec::new() };
    search.write(&[Role::Guard], "data-dir", &config.device.data_dir);
    search.write(&[Role::Guard], "runtime-dir", &config.device.runtime_dir);
    search.media();
    search.servers();
    search.found
}

#[cfg(test)]
mod tests {
    use super::misplaced;
    use crate::cli::host::HostFiles;
    use crate::config::Config;

    /// What is told of a configuration in `/etc/tallybox` of a machine whose guard's unit has `drop_in` too.
    fn told(text: &str, drop_in: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let unit = dir.path().join("etc/systemd/system/tallybox-guard.service");
        let path = dir.path().join("etc/tallybox/tallybox.toml");
        for dir in [path.parent().unwrap(), &unit.with_extension("service.d")] {
            std::fs::create_dir_all(dir).unwrap();
        }
        std::fs::write(&unit, include_str!("../../../systemd/tallybox-guard.service")).unwrap();
        std::fs::write(unit.with_extension("service.d").join("own.conf"), drop_in).unwrap();
        std::fs::write(&path, format!("{text}\n[ingest]\nurl = \"rtmps://a.cn/live/k\"\n")).unwrap();
        let config = Config::load(&path).unwrap();
        misplaced(&HostFiles::new(dir.path()), &config).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_cannot_work_in_the_units_is_told_with_its_place() {
        for (text, place, advice) in [
            ("[device]\ndata-dir = \"/tmp/x\"", "tallybox.toml:2:12: [device] data-dir: /tmp/x", "tallybox run"),
            ("[device]\nruntime-dir = \"/var/tmp/x\"", ":2:15: [device] runtime-dir", "leave runtime-dir out"),
            ("[device]\ndata-dir = \"/home/x\"", "(ProtectHome)", "leave data-dir out"),
            ("[device]\ndata-dir = \"/srv/x\"", "(ProtectSystem)", "ReadWritePaths=/srv/x"),
            ("[device]\ndata-dir = \"x\"", "units start theirs in /", "the whole path"),
            ("[mqtt]\nurl = \"mqtts://a.cn\"\nca-file = \"/root/ca.pem\"", ":3:11: [mqtt] ca-file", "/etc/tallybox"),
            (
                "[mqtt]\nurl = \"mqtts://a.cn\"\nclient-cert = \"/etc/c\"\nclient-key = \"/home/pi/key\"",
                "[mqtt] client-key: /home/pi/key: tallybox-agent.service",
                "/etc/tallybox",
            ),
            ("[video]\nsource = \"v4l2\"\ndevice = \"/srv/video0\"", ":3:10: [video] device", "/dev/v4l/by-id"),
            ("[video]\nsource = \"v4l2\"\ndevice = \"/dev/null\"", ":3:10: [video] device", "/dev/v4l/by-id"),
            ("[audio]\ndevice = \"pulse\"", ":2:10: [audio] device", "arecord -L"),
        ] {
            let told = told(text, "");
            assert!(told.len() == 1 && told[0].contains(place) && told[0].contains(advice), "{text}: {told:?}");
        }
    }

    #[test]
    fn what_the_units_are_made_for_is_let_through() {
        let usual = "[mqtt]\nurl = \"mqtts://a.cn\"\nca-file = \"/etc/tallybox/ca.pem\"\nclient-cert = \"/etc/tallybox/c.pem\"\n\
                     client-key = \"${KEY}\"\n[video]\nsource = \"v4l2\"\ndevice = \"/dev/v4l/by-id/x\"\n[audio]\ndevice = \"hw:1\"";
        assert_eq!(told(usual, ""), [""; 0]);
        let elsewhere = "[device]\ndata-dir = \"/srv/x\"";
        assert_eq!(told(elsewhere, "[Service]\nReadWritePaths=-/srv/x\n"), [""; 0]);
        assert_eq!(told("[video]\nsource = \"v4l2\"\ndevice = \"auto\"", ""), [""; 0]);
        let open = "[Service]\nProtectHome=no\nProtectSystem=\n";
        assert_eq!(told("[device]\ndata-dir = \"/home/x\"", open), [""; 0]);
    }
}
