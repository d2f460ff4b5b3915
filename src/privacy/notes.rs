//! Notes that the platform signs and the box keeps, and the box's own receipt: all below data-dir.

use rollout::{AbortRule, File, Files, Release, Stage, Wave};

use super::{Datum, Part, Purpose, Recipient, Retention, Text, below, fields, named, names};
use crate::config::{DESIRED_KEYS, DesiredKey, ValueKind};
use crate::guard::receipt::{Kept, Receipt};
use crate::ipc::{PolicyDocument, PolicyText, PolicyTexts};
use crate::judges::twin::DesiredContent;

/// What every note has besides its JSON.
fn note() -> [(&'static str, Purpose); 2] {
    names! {
        "type": Security Neither "which kind of note it is" "文件类型",
        "signature": Security Personal "who signed it: a key's name and its signature" "签名者的密钥名称及签名",
    }
}

fn policy() -> [(&'static str, Purpose); 8] {
    fields! { PolicyDocument {
        version: Duty Neither "which policy is in force" "隐私政策版本",
        material: Duty Neither "whether staff have to acknowledge it" "是否有实质变化",
        reasons: Duty Neither "what changes materially" "实质变化的事项",
        effective: Duty Neither "from which day the platform calls it effective" "生效日期",
        text_sha256: Duty Neither "which text was meant" "政策全文的摘要",
        url: Duty Neither "where the text is" "政策全文的网址",
        contacts: Duty Personal "whom people may ask" "咨询与投诉的联系方式",
        answer_days: Duty Neither "within how many days they are answered" "答复期限（天）",
    } nested { texts } }
}

fn policy_texts() -> Vec<Datum> {
    const _: fn(&PolicyTexts) = |value| {
        let PolicyTexts { zh: _, en: _ } = value;
    };
    let text = fields! { PolicyText {
        text: Duty Neither "the policy itself" "政策全文",
        sha256: Duty Neither "which text was meant" "政策全文的摘要",
        url: Duty Neither "where the text is" "政策全文的网址",
    } };
    ["zh", "en"].into_iter().flat_map(|language| below(&format!("policy.texts.{language}"), &text)).collect()
}

fn desired() -> [(&'static str, Purpose); 2] {
    fields! { DesiredContent {
        r#box: Security Personal "which box it is for" "所适用的设备名称",
        version: Security Neither "no older one is taken" "配置版本，防止回退",
    } nested { values } }
}

/// Every key that the platform may set; some of them are secrets.
fn desired_values(prefix: &str) -> Vec<Datum> {
    let [plain, secret, name] = names! {
        "": Function Neither "a value that the platform set" "平台设定的值",
        "": Function Personal "a secret that the platform set" "平台设定的密钥",
        "": Consent Personal "the shop's name, if the shop wants it" "店铺名称（店铺选用时）",
    };
    let of = |key: &DesiredKey| {
        let purpose = match key.kind {
            ValueKind::Secret => secret.1,
            ValueKind::Text if key.name.starts_with("overlay") => name.1,
            ValueKind::Flag
            | ValueKind::Number(..)
            | ValueKind::Span(..)
            | ValueKind::Word(_)
            | ValueKind::Text
            | ValueKind::Crop
            | ValueKind::Masks => plain.1,
        };
        let parts = key.kind.parts();
        let parts = if parts.is_empty() { &[""] } else { parts };
        let lines: Vec<_> = parts.iter().map(|part| (*part, purpose)).collect();
        named(&format!("{prefix}.values.{}", key.name), &lines)
    };
    DESIRED_KEYS.iter().flat_map(of).collect()
}

fn release() -> [(&'static str, Purpose); 8] {
    fields! { Release {
        version: Security Neither "which version is offered" "提供的软件版本",
        serial: Security Neither "no older one is taken" "序号，防止回退",
        channel: Security Neither "for which boxes" "发布通道",
        not_after: Security Neither "until when it counts" "有效期",
        minimum_version: Security Neither "from which version on" "可升级的最低版本",
        downgrade: Security Neither "whether newer boxes go back" "是否允许降级",
        security: Security Neither "whether it mends a weakness" "是否修复安全漏洞",
        reconnect_spread_s: Function Neither "how reconnects are spread" "重新连接的分散时间",
    } nested { files, wave } }
}

fn release_inside() -> Vec<Datum> {
    const _: fn(&Files) = |value| {
        let Files { amd64: _, arm64: _, armhf: _ } = value;
    };
    let file = fields! { File {
        url: Security Neither "where the package is" "软件包地址",
        size: Security Neither "how long it is" "软件包大小",
        sha256: Security Neither "which bytes are right" "软件包摘要",
    } };
    let wave = fields! { Wave {
        start: Security Neither "when boxes begin" "开始时间",
        deadline_s: Security Neither "when a box has to have said how it went" "结果期限",
        minimum_sample: Security Neither "when failures are judged" "判断失败率的最少数量",
        state: Security Neither "whether it goes on" "发布状态",
    } nested { stages, abort } };
    let stage = fields! { Stage {
        permille: Security Neither "which share of all boxes" "设备比例",
        over_s: Security Neither "over which time" "分散时间",
        bake_s: Security Neither "how long to wait then" "等待时间",
        not_before: Security Neither "not earlier" "最早时间",
        pause: Security Neither "whether to stop there" "是否暂停",
    } };
    let abort = fields! { AbortRule {
        on: Security Neither "what is counted" "统计的失败类型",
        minimum: Security Neither "at least so many boxes" "最少设备数",
        permille: Security Neither "more than this share stops it" "停止发布的比例",
    } };
    let mut all = Vec::new();
    for architecture in ["amd64", "arm64", "armhf"] {
        all.extend(below(&format!("release.files.{architecture}"), &file));
    }
    all.extend(below("release.wave", &wave));
    all.extend(below("release.wave.stages", &stage));
    all.extend(below("release.wave.abort", &abort));
    all
}

fn receipt() -> Vec<Datum> {
    let receipt = fields! { Receipt {
        r#box: Duty Personal "which box it is about" "设备名称",
        what: Duty Neither "what was deleted" "删除的内容",
        reason: Duty Personal "why somebody asked for it" "要求删除的理由",
        at: Duty Personal "when" "删除时间",
        files: Duty Neither "how many files" "删除的文件数",
    } nested { kept } };
    let kept = fields! { Kept {
        what: Duty Neither "what the law wants to be kept" "依法保留的内容",
        until: Duty Neither "until when" "保留期限",
        why: Duty Neither "why it is kept" "保留的原因",
    } };
    [below("receipt", &receipt), below("receipt.kept", &kept), named("receipt", &note())].concat()
}

/// All of them.
pub(super) fn parts() -> Vec<Part> {
    let part = |name, en, zh, retention, data| Part {
        name,
        title: Text::new(en, zh),
        recipient: Recipient::Nobody,
        retention,
        data,
    };
    let kept = Retention::UntilReplaced;
    let desired = |name: &str| [named(name, &note()), below(name, &desired()), desired_values(name)].concat();
    let policy = [named("policy", &note()), below("policy", &policy()), policy_texts()].concat();
    let release = [named("release", &note()), below("release", &release()), release_inside()].concat();
    let receipt = (receipt(), Retention::WhileItLasts);
    vec![
        part("policy", "The policy that the platform signed", "平台签名的隐私政策", kept, policy),
        part("desired", "The desired configuration in force", "生效的期望配置", kept, desired("desired")),
        part("desired-next", "One that waits", "等待生效的期望配置", kept, desired("desired-next")),
        part("release", "The release in force", "当前的软件发布信息", kept, release),
        part(
            "receipt",
            "Receipt of an unbinding, until the ledger has it",
            "解除绑定的凭证（写入台账前）",
            receipt.1,
            receipt.0,
        ),
    ]
}
