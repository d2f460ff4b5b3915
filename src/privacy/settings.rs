//! What the inventory says of a box with a certain configuration, and of boxes in general.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use notes::Role;

use super::{Recipient, Retention};
use crate::config::{Config, Outage, OutageBuffer, ThirdParty};
use crate::text::{Language, Text};

/// Where something goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Here.
    At(String),
    /// Nowhere: it is not configured.
    Off,
    /// Where the configuration says: of boxes in general.
    AsConfigured,
}

/// How long footage can be on a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waits {
    size_mib: u32,
    longest_s: u64,
    on_disk: bool,
}

/// What of the inventory depends on the box.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The policy in the configuration; `None`: of boxes in general.
    pub(super) policy_version: Option<String>,
    pub(super) third_parties: Vec<ThirdParty>,
    broker: Place,
    home_assistant: Place,
    ingest: Place,
    second: Place,
    updates: Place,
    waits: Option<Waits>,
    /// How long undelivered footage is kept, in seconds; 0: not at all. `None`: of boxes in general.
    keeps_s: Option<u64>,
    ledger_days: Option<u64>,
    /// The journal's limit; `None`: there is none, or it is not known.
    journal: Option<String>,
}

impl Settings {
    /// Of a box with this configuration.
    pub fn of(config: &Config) -> Self {
        let at = |host: Option<&str>| host.map_or(Place::Off, |host| Place::At(host.to_owned()));
        let Outage { buffer, size_mib, .. } = config.ingest.outage;
        let window = config.ingest.reconnect_window;
        let (on_disk, longest) = match buffer {
            OutageBuffer::Memory => (false, window),
            OutageBuffer::Disk => (true, window.min(config.privacy.footage_retention)),
        };
        let mqtt = config.mqtt.as_ref();
        Self {
            policy_version: Some(config.consent.policy_version.clone()),
            third_parties: config.third_parties.clone(),
            broker: at(mqtt.map(|mqtt| mqtt.host.as_str())),
            home_assistant: at(mqtt.filter(|mqtt| mqtt.home_assistant.is_some()).map(|mqtt| mqtt.host.as_str())),
            ingest: at(Some(config.ingest.first.host.as_str())),
            second: at(config.ingest.second.as_ref().map(|second| second.host.as_str())),
            updates: if config.trust.keys.iter().any(|key| key.may.contains(&Role::Release)) {
                Place::AsConfigured
            } else {
                Place::Off
            },
            waits: Some(Waits { size_mib, longest_s: longest.as_secs(), on_disk }),
            keeps_s: Some(if config.keeps_footage() { config.privacy.footage_retention.as_secs() } else { 0 }),
            ledger_days: Some(config.privacy.ledger_retention.as_secs() / 86_400),
            journal: journal_limit(Path::new("/")),
        }
    }

    /// Of boxes in general, for the documents.
    pub fn in_general() -> Self {
        let place = || Place::AsConfigured;
        Self {
            policy_version: None,
            third_parties: Vec::new(),
            broker: place(),
            home_assistant: place(),
            ingest: place(),
            second: place(),
            updates: place(),
            waits: None,
            keeps_s: None,
            ledger_days: None,
            journal: None,
        }
    }

    /// Who gets a datum.
    pub fn recipient(&self, recipient: Recipient, language: Language) -> String {
        let say = |text: Text| text.get(language).to_owned();
        let at = |place: &Place, who: Text, off: Text, key: &str| match (place, language) {
            (Place::Off, _) => say(off),
            (Place::At(host), Language::En) => format!("{}, at {host}", who.en),
            (Place::At(host), Language::Zh) => format!("{}（{host}）", who.zh),
            (Place::AsConfigured, Language::En) => format!("{}, at the server of {key}", who.en),
            (Place::AsConfigured, Language::Zh) => format!("{}（{key} 所指的服务器）", who.zh),
        };
        let nobody = |en, zh| Text::new(en, zh);
        match recipient {
            Recipient::Platform => at(
                &self.broker,
                Text::new("the platform", "平台"),
                nobody("nobody: no broker is configured", "无：未配置 MQTT 服务器"),
                "[mqtt]",
            ),
            Recipient::HomeAssistant => at(
                &self.home_assistant,
                Text::new("the shop's Home Assistant, through the broker", "经 MQTT 服务器读取的店铺 Home Assistant"),
                nobody("nobody: [mqtt] home-assistant is off", "无：[mqtt] home-assistant 未开启"),
                "[mqtt]",
            ),
            Recipient::Ingest => {
                at(&self.ingest, Text::new("the platform's viewers", "平台的观众"), nobody("nobody", "无"), "[ingest]")
            }
            Recipient::Second => at(
                &self.second,
                Text::new("viewers at the second destination", "第二推流地址的观众"),
                nobody("nobody: no second destination is configured", "无：未配置第二推流地址"),
                "[ingest.second]",
            ),
            Recipient::UpdateServer => match self.updates {
                Place::Off => say(Text::new("nobody: no key may sign releases", "无：没有可签署更新的密钥")),
                Place::At(_) | Place::AsConfigured => say(Text::new(
                    "the operator's update server, which the signed release names",
                    "运营者的更新服务器（由已签名的发布信息指定）",
                )),
            },
            Recipient::Servers => say(Text::new("each server that is named here", "本清单所列的各服务器")),
            Recipient::NameServer => say(Text::new("the network's name server", "所在网络的域名服务器")),
            Recipient::Nobody => say(Text::new("nobody: it stays on the box", "无：仅保存在设备上")),
            Recipient::JournalReaders => say(Text::new(
                "whoever may read the machine's journal: root, and the groups adm and systemd-journal",
                "可读取系统日志者：root 用户以及 adm、systemd-journal 组",
            )),
            Recipient::AtTheBox => {
                say(Text::new("whoever asks the box itself, with tallybox doctor", "在设备上运行 tallybox doctor 者"))
            }
        }
    }

    /// How long a datum is kept.
    pub fn retention(&self, retention: Retention, language: Language) -> String {
        match retention {
            Retention::Outage => self.outage(language),
            Retention::KeptFootage => self.kept_footage(language),
            Retention::Ledger => self.ledger(language),
            Retention::Journal => self.journal(language),
            Retention::NotKept
            | Retention::Newest
            | Retention::Connection
            | Retention::UntilReplaced
            | Retention::UntilUnbound
            | Retention::LastCommands
            | Retention::UntilUpdateEnds
            | Retention::WhileItLasts
            | Retention::UntilPowerOff
            | Retention::RootsFile => fixed(retention).get(language).to_owned(),
        }
    }

    fn kept_footage(&self, language: Language) -> String {
        match (self.keeps_s, language) {
            (Some(0), Language::En) => "none is kept: no [privacy] footage-recipient is set".to_owned(),
            (Some(0), Language::Zh) => "不保存：未设置 [privacy] footage-recipient".to_owned(),
            (Some(seconds), Language::En) => format!(
                "at most {seconds} s ([privacy] footage-retention), encrypted to the operator's key; less where the disk \
                 is full; gone at once when staff hold the button for 5 s"
            ),
            (Some(seconds), Language::Zh) => format!(
                "最长 {seconds} 秒（[privacy] footage-retention），以运营者公钥加密；磁盘空间不足时提前删除；\
                 员工按住按键 5 秒立即删除"
            ),
            (None, Language::En) => {
                "only with [privacy] footage-recipient, encrypted to it: for footage-retention, or until a lock"
                    .to_owned()
            }
            (None, Language::Zh) => {
                "仅在设置 [privacy] footage-recipient 时加密保存，至 footage-retention 到期或员工锁定为止".to_owned()
            }
        }
    }

    fn outage(&self, language: Language) -> String {
        let Some(Waits { size_mib, longest_s, on_disk }) = self.waits else {
            let general = Text::new(
                "not kept: gone within 2 s; while the server is away up to reconnect-window, until the session ends",
                "不保存：2 秒内发送或丢弃；断网时最长保留 reconnect-window 所设时间，直播结束即清除",
            );
            return general.get(language).to_owned();
        };
        let is_kept = self.keeps_s.is_some_and(|seconds| seconds > 0);
        match language {
            Language::En => format!(
                "not kept on the box: it leaves at once or is dropped within 2 s; while the server is out of reach at \
                 most {size_mib} MiB of it wait for at most {longest_s} s, {}, and are gone when the session ends{}",
                if on_disk { "on disk, sealed, in a file without a name" } else { "in memory" },
                if is_kept { "; for the operator it is kept then (kept-footage)" } else { "" },
            ),
            Language::Zh => format!(
                "不在设备上保存：2 秒内发送或丢弃；服务器无法连接时，最多 {size_mib} MiB、最长 {longest_s} 秒暂存于{},\
                 直播结束即清除{}",
                if on_disk { "磁盘（加密的无名文件）" } else { "内存" },
                if is_kept { "；未送达部分另为运营者加密保存（kept-footage）" } else { "" },
            ),
        }
    }

    fn ledger(&self, language: Language) -> String {
        match (self.ledger_days, language) {
            (Some(days), Language::En) => format!("{days} days, on the box (security and network logs: six months)"),
            (Some(days), Language::Zh) => format!("在设备上保存 {days} 天（网络安全日志不少于六个月）"),
            (None, Language::En) => "[privacy] ledger-retention, at least 184 days, on the box".to_owned(),
            (None, Language::Zh) => "在设备上保存 [privacy] ledger-retention 所设时间，不少于 184 天".to_owned(),
        }
    }

    fn journal(&self, language: Language) -> String {
        let in_general = self.policy_version.is_none();
        match (&self.journal, language) {
            (Some(limit), Language::En) => format!("at most {limit} (MaxRetentionSec of journald)"),
            (Some(limit), Language::Zh) => format!("最长 {limit}（journald 的 MaxRetentionSec）"),
            (None, Language::En) if in_general => "as journald is configured".to_owned(),
            (None, Language::Zh) if in_general => "由 journald 的配置决定".to_owned(),
            (None, Language::En) => {
                "as long as it has room: no MaxRetentionSec is set for journald (privacy.md says how)".to_owned()
            }
            (None, Language::Zh) => {
                "空间用尽为止：未设置 journald 的 MaxRetentionSec（设置方法见 privacy.md）".to_owned()
            }
        }
    }
}

/// Times that no configuration changes.
const fn fixed(retention: Retention) -> Text {
    match retention {
        Retention::NotKept => Text::new("not kept on the box", "不在设备上保存"),
        Retention::Newest => {
            Text::new("the newest only, at the broker; not kept on the box", "服务器仅保留最新一条，不在设备上保存")
        }
        Retention::Connection => Text::new("not kept: as long as the connection stands", "不保存：仅在连接期间使用"),
        Retention::UntilReplaced => {
            Text::new("until a newer one replaces it, or the box is unbound", "至被新版本取代或解除绑定")
        }
        Retention::UntilUnbound => Text::new("until the box is unbound", "至解除绑定"),
        Retention::LastCommands => {
            Text::new("those of the last 256 commands, until the box is unbound", "最近 256 条指令，至解除绑定")
        }
        Retention::UntilUpdateEnds => {
            Text::new("until the update has ended, or the box is unbound", "至更新结束或解除绑定")
        }
        Retention::WhileItLasts => Text::new("as long as it is so", "至该情形结束"),
        Retention::UntilPowerOff => Text::new("until the machine is off", "至设备断电"),
        Retention::RootsFile => Text::new(
            "as long as root keeps the file; apt purge tallybox deletes it",
            "由管理员（root）保管，apt purge tallybox 时删除",
        ),
        // These depend on the configuration: `Settings::retention` says them.
        Retention::Outage | Retention::KeptFootage | Retention::Ledger | Retention::Journal => Text::new("", ""),
    }
}

/// How long the machine's journal keeps what the roles write: as journald is configured.
fn journal_limit(root: &Path) -> Option<String> {
    // In the order of their names, wherever they lie; one in /etc hides one of the same name.
    let mut drop_ins = BTreeMap::new();
    for folder in ["usr/lib/systemd/journald.conf.d", "etc/systemd/journald.conf.d"] {
        let found = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        drop_ins.extend(found.map(|entry| (entry.file_name(), entry.path())));
    }
    let files: Vec<PathBuf> =
        [root.join("etc/systemd/journald.conf")].into_iter().chain(drop_ins.into_values()).collect();
    let mut set = files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).filter_map(|text| {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("MaxRetentionSec="));
        lines.map(|value| value.trim().to_owned()).next_back()
    });
    set.next_back().filter(|value| !value.is_empty() && value != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_kept_as_journald_is_told() {
        let root = tempfile::tempdir().unwrap();
        let limit = || super::journal_limit(root.path());
        assert_eq!(limit(), None);
        let folder = root.path().join("etc/systemd/journald.conf.d");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("../journald.conf"), "[Journal]\n#MaxRetentionSec=1day\nMaxRetentionSec=1year\n")
            .unwrap();
        assert_eq!(limit().as_deref(), Some("1year"));
        let package = root.path().join("usr/lib/systemd/journald.conf.d");
        std::fs::create_dir_all(&package).unwrap();
        let shipped = include_str!("../../packaging/tallybox-journal.conf");
        std::fs::write(package.join("60-tallybox.conf"), shipped).unwrap();
        std::fs::write(folder.join("50-own.conf"), "[Journal]\nMaxRetentionSec=2day\n").unwrap();
        assert_eq!(limit().as_deref(), Some("14day"), "days, and by systemd's order");
        std::fs::write(folder.join("60-tallybox.conf"), "[Journal]\nMaxRetentionSec=184day\n").unwrap();
        assert_eq!(limit().as_deref(), Some("184day"));
        std::fs::write(folder.join("zz.conf"), "[Journal]\nMaxRetentionSec=0\n").unwrap();
        assert_eq!(limit(), None);
        let settings = Settings { journal: None, ..Settings::of(&crate::config::example("")) };
        assert!(settings.retention(Retention::Journal, Language::En).contains("no MaxRetentionSec is set"));
    }
}
