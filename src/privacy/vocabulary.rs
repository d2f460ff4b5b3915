//! The words of the inventory: legal bases, categories, recipients, times.

use crate::text::Text;

/// Why a datum may be processed: the policy's two kinds (necessary for the basic function, or optional with consent),
/// and the two cases in which consent is not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Without it the box cannot do what it is for.
    Function,
    /// A law demands it.
    Duty,
    /// It keeps the box and its network secure and working.
    Security,
    /// Staff decide, at the button; refusing it leaves the rest whole.
    Consent,
}

impl Basis {
    /// All of them, as a legend has them.
    pub const ALL: [Self; 4] = [Self::Consent, Self::Function, Self::Duty, Self::Security];

    /// The word in a table.
    pub const fn word(self) -> Text {
        match self {
            Self::Function => Text::new("function", "基本功能"),
            Self::Duty => Text::new("duty", "法定义务"),
            Self::Security => Text::new("security", "安全"),
            Self::Consent => Text::new("consent", "同意"),
        }
    }

    /// The same in full, with the provision of the Personal Information Protection Law (PIPL).
    pub const fn text(self) -> Text {
        match self {
            Self::Function => Text::new(
                "necessary for the basic function (PIPL Art. 13(1)(2))",
                "提供基本功能所必需（《个人信息保护法》第十三条第一款第二项）",
            ),
            Self::Duty => Text::new(
                "necessary for a duty by law (PIPL Art. 13(1)(3))",
                "为履行法定义务所必需（《个人信息保护法》第十三条第一款第三项）",
            ),
            Self::Security => Text::new(
                "necessary for security and stable operation, a duty by law (PIPL Art. 13(1)(3) and 51)",
                "为履行网络安全义务、维护产品安全稳定运行所必需（《个人信息保护法》第十三条第一款第三项、第五十一条）",
            ),
            Self::Consent => Text::new(
                "optional, with consent (PIPL Art. 13(1)(1))",
                "可选，取得个人的同意（《个人信息保护法》第十三条第一款第一项）",
            ),
        }
    }
}

/// How much a datum says about people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// About a person, or about what staff did and when, although the box knows no names.
    Personal,
    /// Personal, and harmful in wrong hands: separate consent.
    Sensitive,
    /// About the machine.
    Neither,
}

impl Category {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Personal, Self::Sensitive, Self::Neither];

    /// The word for it.
    pub const fn word(self) -> Text {
        match self {
            Self::Personal => Text::new("personal", "个人信息"),
            Self::Sensitive => Text::new("sensitive", "敏感个人信息"),
            Self::Neither => Text::new("neither", "非个人信息"),
        }
    }
}

/// Who gets a datum. Hosts are those of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recipient {
    /// The platform, at its broker.
    Platform,
    /// The shop's Home Assistant, through the broker.
    HomeAssistant,
    /// The platform's viewers, at the ingest server.
    Ingest,
    /// The same at the second destination.
    Second,
    /// The server from which updates come.
    UpdateServer,
    /// Each server that the box connects to.
    Servers,
    /// The network's name server.
    NameServer,
    /// Nobody: it stays on the box.
    Nobody,
    /// Whoever may read the machine's journal.
    JournalReaders,
    /// Whoever asks at the box itself.
    AtTheBox,
}

/// How long a datum is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retention {
    /// Picture and sound, while the server is away.
    Outage,
    /// What was not delivered, where the operator has it kept.
    KeptFootage,
    /// Not on the box.
    NotKept,
    /// The newest only, at the broker.
    Newest,
    /// As long as a connection stands.
    Connection,
    /// `[privacy] ledger-retention`.
    Ledger,
    /// Until a newer one replaces it, or the box is unbound.
    UntilReplaced,
    /// Until the box is unbound.
    UntilUnbound,
    /// The last 256 commands, until the box is unbound.
    LastCommands,
    /// Until the update that it is about has ended.
    UntilUpdateEnds,
    /// Until it is over, or the agent starts anew.
    WhileItLasts,
    /// Until the machine is off.
    UntilPowerOff,
    /// As long as root keeps the file.
    RootsFile,
    /// As journald is configured.
    Journal,
}
