//! What may be an attack, or has to be looked at: with what it means and what to do, for people.

use serde::{Deserialize, Serialize};

use crate::text::Language;

/// Something that happened to the box itself.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Incident {
    /// The ledger does not verify, or is older than what the box has signed.
    LedgerMismatch,
    /// A program is not the one that the package installed.
    ProgramChanged,
    /// A unit is not the one that the package installed.
    UnitChanged,
    /// A clock that was right went back.
    ClockRolledBack,
    /// The case's switch is open.
    CaseOpened,
    /// Many commands or local connections were refused in a short time.
    RepeatedRefusals,
}

/// An incident in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncidentText {
    /// What happened.
    pub happened: &'static str,
    /// What it can mean for people.
    pub impact: &'static str,
    /// What the box did.
    pub done: &'static str,
    /// What to do now.
    pub advice: &'static str,
}

const STOPPED: &str = "Recording was ended, and none starts until the cause is gone.";
const NOTICE: &str = "The lamp flashes twice every 5 s on an idle box until somebody touches the button.";
const STOPPED_ZH: &str = "已停止采集；原因消除之前不会再开始。";
const NOTICE_ZH: &str = "盒子空闲时指示灯每 5 秒闪两下，直到有人触碰按钮。";

impl Incident {
    /// Each of them.
    pub const ALL: [Self; 6] = [
        Self::LedgerMismatch,
        Self::ProgramChanged,
        Self::UnitChanged,
        Self::ClockRolledBack,
        Self::CaseOpened,
        Self::RepeatedRefusals,
    ];

    /// The word for it in the ledger and in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LedgerMismatch => "ledger-mismatch",
            Self::ProgramChanged => "program-changed",
            Self::UnitChanged => "unit-changed",
            Self::ClockRolledBack => "clock-rolled-back",
            Self::CaseOpened => "case-opened",
            Self::RepeatedRefusals => "repeated-refusals",
        }
    }

    /// Whether what the box claims cannot be trusted while it lasts: then nothing is captured.
    pub const fn is_tampering(self) -> bool {
        match self {
            Self::LedgerMismatch | Self::ProgramChanged | Self::CaseOpened => true,
            Self::UnitChanged | Self::ClockRolledBack | Self::RepeatedRefusals => false,
        }
    }

    /// Whether it goes on until its cause is gone. The others happen once, and are over when somebody has seen them.
    pub const fn lasts(self) -> bool {
        match self {
            Self::LedgerMismatch | Self::ProgramChanged | Self::UnitChanged | Self::CaseOpened => true,
            Self::ClockRolledBack | Self::RepeatedRefusals => false,
        }
    }

    /// What people are told of it; the ledger has it in English.
    pub const fn text(self, language: Language) -> IncidentText {
        match language {
            Language::En => self.english(),
            Language::Zh => self.chinese(),
        }
    }

    /// In English, as the ledger has it.
    pub const fn english(self) -> IncidentText {
        match self {
            Self::LedgerMismatch => IncidentText {
                happened: "The ledger does not verify, is older than what the box has signed, or is gone.",
                impact: "What the box recorded about sessions may be changed or missing.",
                done: STOPPED,
                advice: "Keep the box as it is, compare its ledger with the platform's archive, then replace the ledger.",
            },
            Self::ProgramChanged => IncidentText {
                happened: "A program of the box is not the one that its package installed.",
                impact: "The box may not keep to what staff agreed to.",
                done: STOPPED,
                advice: "Find out who changed it, then install the package again.",
            },
            Self::UnitChanged => IncidentText {
                happened: "A service unit of the box is not the one that its package installed.",
                impact: "A program may be allowed more than it should be.",
                done: NOTICE,
                advice: "See which file it is with tallybox status, then install the package again.",
            },
            Self::ClockRolledBack => IncidentText {
                happened: "The clock went back although it had been right.",
                impact: "Times before and after do not fit together; the order of entries does.",
                done: NOTICE,
                advice: "See who can set the clock, and whether its time server can be trusted.",
            },
            Self::CaseOpened => IncidentText {
                happened: "The case is open, or its switch has no contact.",
                impact: "Somebody may reach the camera, the lamp or the storage.",
                done: STOPPED,
                advice: "Look at the box, then close the case.",
            },
            Self::RepeatedRefusals => IncidentText {
                happened: "Many commands or local connections were refused in a short time.",
                impact: "Somebody may try to take over the box. None of what was refused took effect.",
                done: NOTICE,
                advice: "See the refused commands in the ledger, and who may publish to the box at the broker.",
            },
        }
    }

    /// The same in Chinese.
    const fn chinese(self) -> IncidentText {
        match self {
            Self::LedgerMismatch => IncidentText {
                happened: "账本校验不通过、比盒子已签名的内容更旧，或已丢失。",
                impact: "关于采集场次的记录可能被改动或缺失。",
                done: STOPPED_ZH,
                advice: "保持盒子现状，与平台存档比对账本，然后更换账本。",
            },
            Self::ProgramChanged => IncidentText {
                happened: "盒子的程序与安装包所装的不一致。",
                impact: "盒子可能不再遵守店员同意的内容。",
                done: STOPPED_ZH,
                advice: "查明改动人，然后重新安装软件包。",
            },
            Self::UnitChanged => IncidentText {
                happened: "盒子的服务单元文件与安装包所装的不一致。",
                impact: "某个程序可能获得了不应有的权限。",
                done: NOTICE_ZH,
                advice: "用 tallybox status 查看是哪个文件，然后重新安装软件包。",
            },
            Self::ClockRolledBack => IncidentText {
                happened: "原本准确的时钟被往回拨。",
                impact: "前后时间对不上；记录的先后顺序不受影响。",
                done: NOTICE_ZH,
                advice: "查明谁能设置时钟，以及时间服务器是否可信。",
            },
            Self::CaseOpened => IncidentText {
                happened: "机壳被打开，或机壳开关没有接通。",
                impact: "有人可能接触到摄像头、指示灯或存储卡。",
                done: STOPPED_ZH,
                advice: "检查盒子，然后合上机壳。",
            },
            Self::RepeatedRefusals => IncidentText {
                happened: "短时间内有大量命令或本机连接被拒绝。",
                impact: "可能有人试图控制盒子。被拒绝的内容均未生效。",
                done: NOTICE_ZH,
                advice: "在账本中查看被拒绝的命令，并检查消息服务器上谁可以向盒子发布消息。",
            },
        }
    }
}

/// An incident that goes on, or that nobody has seen yet, in the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OpenIncident {
    /// Which.
    pub incident: Incident,
    /// What happened, in particular.
    pub what: String,
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;

    /// The console shows the same words: its table is made of this one.
    #[test]
    fn the_console_has_these_words() {
        let mut file =
            "// Made by TALLYBOX_BLESS=1 from src/ipc/incident.rs: what happened, impact, what was done, what to do.\n"
                .to_owned();
        for (name, language) in [("en", Language::En), ("zh", Language::Zh)] {
            writeln!(file, "export const {name} = {{").unwrap();
            for incident in Incident::ALL {
                let IncidentText { happened, impact, done, advice } = incident.text(language);
                let texts: Vec<String> = [happened, impact, done, advice].map(|text| format!("    {text:?},\n")).into();
                writeln!(file, "  {:?}: [\n{}  ],", incident.as_str(), texts.concat()).unwrap();
            }
            file += "};\n";
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("console/js/text/incidents.js");
        if std::env::var_os("TALLYBOX_BLESS").is_some() {
            std::fs::write(&path, &file).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(kept, file, "TALLYBOX_BLESS=1 writes console/js/text/incidents.js anew");
    }

    #[test]
    fn words_are_those_that_are_written_out_and_no_text_is_missing() {
        for incident in Incident::ALL {
            assert_eq!(serde_json::to_value(incident).unwrap(), incident.as_str());
            for IncidentText { happened, impact, done, advice } in [incident.english(), incident.chinese()] {
                assert!(
                    [happened, impact, done, advice].iter().all(|text| text.ends_with(['.', '。'])),
                    "{incident:?}"
                );
            }
            let stops = incident.english().done == STOPPED;
            assert_eq!(
                (stops, incident.chinese().done == STOPPED_ZH),
                (incident.is_tampering(), incident.is_tampering())
            );
        }
    }
}
