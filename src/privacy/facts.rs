//! The ledger's facts: what each kind is for, and what each of its fields is. A new fact, and a new field of one, does
//! not compile without a line here.

use super::{Basis, Category, Datum, Purpose, below, purpose};
use crate::ipc::Fact;

use Basis::{Duty, Security};
use Category::{Neither, Personal};

/// What a field is for, in whatever fact it occurs.
const ADVICE: Purpose = purpose(Security, Neither, "what to do about an incident", "安全事件的处置建议");
const ATTEMPT: Purpose = purpose(Security, Neither, "tells attempts apart; random", "区分各次安装的随机编号");
const AGAIN: Purpose = purpose(Security, Neither, "whether it is tried again by itself", "是否自动重试");
const AGREED: Purpose = purpose(Duty, Personal, "whether staff agreed, by a hold", "员工是否长按同意");
const ANSWER_DAYS: Purpose = purpose(Duty, Neither, "within how many days people are answered", "答复期限（天）");
const ASKS: Purpose = purpose(Duty, Neither, "whether staff are asked first", "是否先询问员工");
const BROKER_HOST: Purpose = purpose(Duty, Neither, "where state and these entries go", "状态与台账发往的服务器");
const BYTES: Purpose = purpose(Duty, Neither, "how much is stored", "保存的字节数");
const BY: Purpose =
    purpose(Duty, Personal, "staff, the platform, or a program; no names", "由员工、平台还是程序操作，不含姓名");
const ASKED: Purpose = purpose(Duty, Neither, "what staff did not agree to", "员工未同意的事项");
const QUESTIONS: Purpose = purpose(Duty, Neither, "so that nobody is asked the same again", "避免再次询问同一事项");
const CHANGES: Purpose = purpose(Duty, Neither, "what staff are asked about", "询问员工的事项");
const CHANNEL: Purpose = purpose(Security, Neither, "which releases the box takes", "软件发布通道");
const CONTACTS: Purpose = purpose(Duty, Personal, "whom people may ask", "咨询与投诉的联系方式");
const COUNT: Purpose = purpose(Security, Neither, "how many were not written one by one", "未逐条记录的数量");
const CHECKPOINT: Purpose = purpose(Duty, Personal, "signed proof of what was pruned", "已删除条目的签名证明");
const DIGEST: Purpose = purpose(Security, Neither, "which file or text it was", "所涉文件或文本的摘要");
const DONE: Purpose = purpose(Security, Neither, "what the box did about an incident", "设备已采取的措施");
const FILES: Purpose = purpose(Duty, Neither, "how many files it is about", "所涉文件数");
const FINGERPRINT: Purpose = purpose(Security, Neither, "which key speaks for the box", "设备公钥指纹");
const FIRST: Purpose = purpose(Duty, Neither, "first entry that was pruned", "到期删除的第一条");
const FORMER: Purpose = purpose(Security, Neither, "the version before", "更新前的版本");
const FROM: Purpose = purpose(Duty, Neither, "what was before: a time, or an encoder", "之前的时间或编码器");
const GUARDIAN: Purpose =
    purpose(Duty, Personal, "whether a guardian's hold preceded it, not whose", "是否经监护人按住确认，不记录何人");
const HASH: Purpose = purpose(Security, Neither, "which configuration was in force", "生效配置的摘要");
const HOST: Purpose = purpose(Security, Neither, "which server was refused", "被拒绝的服务器");
const ID: Purpose = purpose(Security, Neither, "the operator's number for the command", "运营者给指令的编号");
const IMPACT: Purpose = purpose(Security, Neither, "what an incident can mean for people", "安全事件可能的影响");
const INCIDENT: Purpose = purpose(Security, Neither, "which kind of incident", "安全事件的种类");
const INGEST_HOST: Purpose = purpose(Duty, Neither, "which server gets the stream", "接收直播的服务器");
const KEY: Purpose = purpose(Security, Personal, "which operator's key signed", "签名所用的运营者密钥名称");
const KEYS: Purpose = purpose(Security, Personal, "which operators' keys signed", "签名所用的运营者密钥名称");
const LAST: Purpose = purpose(Duty, Neither, "last entry that was pruned", "到期删除的最后一条");
const MATERIAL: Purpose = purpose(Duty, Neither, "whether the policy changed materially", "政策是否有实质变化");
const MESSAGE: Purpose = purpose(Duty, Neither, "why capture failed, as a sentence", "采集失败的原因说明");
const MUTED: Purpose = purpose(Duty, Personal, "whether the sound is off", "是否已静音");
const OF: Purpose = purpose(Security, Neither, "of which kind they were", "未逐条记录的种类");
const PART: Purpose = purpose(Security, Neither, "which part failed", "有故障的部件");
const POLICY: Purpose = purpose(Duty, Neither, "which policy was in force", "当时适用的隐私政策版本");
const PURPOSE: Purpose = purpose(Duty, Neither, "what staff were asked for", "请员工按键的用途");
const REASONS: Purpose = purpose(Duty, Neither, "what the policy changed materially", "政策的实质变化事项");
const REASON: Purpose = purpose(Duty, Personal, "why it ended, or was asked for", "结束或要求删除的原因");
const RECEIPT: Purpose = purpose(Duty, Personal, "signed proof of what was deleted", "删除凭证（已签名）");
const SECURITY: Purpose = purpose(Security, Neither, "whether it mends a weakness", "是否修复安全漏洞");
const SERIAL: Purpose = purpose(Security, Neither, "no older release is taken", "防止软件版本回退");
const SESSION: Purpose = purpose(Duty, Personal, "which session it was", "所涉直播的编号");
const SOFTWARE: Purpose = purpose(Security, Neither, "which software the box ran", "当时运行的软件版本");
const SOUND: Purpose = purpose(Duty, Personal, "whether staff agreed to sound too", "员工是否同意采集声音");
const TAKEN: Purpose = purpose(Security, Neither, "which keys of it are in force", "生效的配置项");
const TO: Purpose = purpose(Duty, Neither, "what came after: a time, or an encoder", "之后的时间或编码器");
const UID: Purpose = purpose(Security, Neither, "which local program was turned away", "被拒绝的本机程序的用户编号");
const UNTIL: Purpose = purpose(Security, Neither, "not before, or up to this time", "截止或最早的时间");
const VERB: Purpose = purpose(Security, Neither, "which command it was", "指令名称");
const VERSION: Purpose = purpose(Security, Neither, "which version it was", "所涉版本");
const WAITS: Purpose = purpose(Duty, Neither, "whether staff have to acknowledge", "是否需要员工确认");
const WHAT: Purpose = purpose(Duty, Neither, "what is deleted, or what happened", "删除的内容，或发生的情况");
const WHY: Purpose = purpose(Security, Neither, "why, in words for people", "原因说明");

/// A kind of fact, with the fields that it has.
pub(super) struct FactKind {
    /// Its word in the ledger.
    pub(super) kind: String,
    /// What it is recorded for.
    pub(super) purpose: Purpose,
    /// Its fields.
    pub(super) fields: Vec<(&'static str, Purpose)>,
}

/// Facts with their fields, `as` what they are called where that is not the variant's name. Match and patterns are
/// total.
macro_rules! facts {
    ($(
        $variant:ident $(as $kind:literal)? { $($field:ident: $meaning:ident),* $(,)? }
        $basis:ident $category:ident $en:literal $zh:literal
    ),+ $(,)?) => {{
        const _: fn(&Fact) = |fact| match fact { $(Fact::$variant { $($field: _),* } => {}),+ };
        vec![$(FactKind {
            kind: facts!(@kind $variant $($kind)?),
            purpose: purpose(Basis::$basis, Category::$category, $en, $zh),
            fields: vec![$((stringify!($field), $meaning)),*],
        }),+]
    }};
    (@kind $variant:ident) => { super::written(stringify!($variant)) };
    (@kind $variant:ident $kind:literal) => { $kind.to_owned() };
}

/// All of them.
// One line for each fact.
#[allow(clippy::too_many_lines)]
pub(super) fn kinds() -> Vec<FactKind> {
    facts! {
        GuardStarted { software: SOFTWARE, policy_version: POLICY } Security Neither "restarts" "设备启动",
        GuardStopped {} Security Neither "restarts" "设备停止",
        Identified { fingerprint: FINGERPRINT } Security Neither "which key speaks for the box" "设备密钥的生成",
        Configured { hash: HASH, ingest_host: INGEST_HOST, broker_host: BROKER_HOST }
            Security Neither "changes of the configuration" "配置的变更",
        SessionStarted { session: SESSION, sound: SOUND, policy_version: POLICY, guardian: GUARDIAN }
            Duty Personal "proof of consent: somebody pressed, not who" "同意的证明：有人按键，不知何人",
        OnAir { session: SESSION } Security Neither "network log" "网络日志：推流成功",
        OffAir { session: SESSION, reason: REASON } Security Neither "network log" "网络日志：推流中断",
        EncoderFallback { session: SESSION, from: FROM, to: TO, why: WHY }
            Security Neither "faults: which encoder failed" "故障：编码器失效",
        SessionStopped { session: SESSION, reason: REASON, message: MESSAGE }
            Duty Personal "proof that recording ended, and why" "采集结束及其原因的证明",
        SessionInterrupted as "session-cut" { session: SESSION }
            Duty Personal "proof that recording ended with a power cut" "采集因断电或崩溃结束的证明",
        Muted { session: SESSION, muted: MUTED, by: BY } Duty Personal "proof of consent to sound" "声音同意的证明",
        Requested { purpose: PURPOSE } Security Neither "what the platform asked for" "平台发出的请求",
        RequestEnded { reason: REASON } Security Personal "what the platform asked for" "平台请求的结果",
        Locked {} Duty Personal "proof of withdrawal" "撤回同意的证明",
        Unlocked {} Duty Personal "proof of consent" "恢复同意的证明",
        PolicyPending { policy_version: POLICY } Duty Neither "recording waited for consent" "采集等待重新同意",
        PolicyAcknowledged { policy_version: POLICY } Duty Personal "proof of fresh consent" "重新同意的证明",
        EndOfServiceReceived { digest: DIGEST, keys: KEYS, contacts: CONTACTS, answer_days: ANSWER_DAYS }
            Duty Personal "proof that the service ended" "停止运营的证明",
        ServiceEnded { files: FILES, receipt: RECEIPT } Duty Personal "proof of deletion" "停止运营时删除的证明",
        FaultDetected as "broke" { part: PART } Security Neither "faults that ended recording" "导致停止采集的故障",
        FaultCleared as "mended" { part: PART } Security Neither "faults that ended recording" "故障恢复",
        FootageDestroyed { files: FILES, why: WHY, session: SESSION } Duty Neither "proof of deletion" "删除未发送画面的证明",
        Unbound { files: FILES, receipt: RECEIPT } Duty Personal "proof of deletion" "解除绑定及删除的证明",
        UnbindRequested {} Security Neither "what the platform asked for" "平台请求解除绑定",
        ErasureStarted { what: WHAT, reason: REASON } Duty Neither "proof of deletion" "开始删除",
        Erased { files: FILES, receipt: RECEIPT } Duty Personal "proof of deletion" "删除的证明",
        FootageKept { session: SESSION, files: FILES, bytes: BYTES }
            Duty Neither "proof of what is stored, and since when" "保存未送达画面的证明",
        PrivacyExported {} Security Neither "that what the box holds was handed out" "导出设备所存信息的记录",
        IngestSet { ingest_host: INGEST_HOST, agreed: AGREED }
            Duty Personal "which server gets the stream, and who agreed" "推流服务器的变更及员工是否同意",
        PolicyUpdated {
            policy_version: POLICY, material: MATERIAL, waits_for_staff: WAITS, reasons: REASONS, keys: KEYS,
        }
            Duty Neither "proof of the policy in force" "适用政策的证明",
        Commanded { verb: VERB, key: KEY, id: ID } Security Personal "what an operator's key asked for" "运营者的指令",
        CommandRefused { verb: VERB, why: WHY } Security Neither "commands that were turned away" "被拒绝的指令",
        CommandsRefused { count: COUNT } Security Neither "commands that were turned away" "被拒绝的指令",
        ConnectionRefused as "door-refused" { uid: UID, why: WHY }
            Security Neither "local programs that were turned away" "被拒绝的本机程序",
        BrokerConnected {} Security Neither "the network log" "网络日志",
        BrokerLost { reason: REASON } Security Neither "the network log" "网络日志",
        BrokerRefused { reason: REASON } Security Neither "that the broker did not let the box in" "服务器拒绝了设备",
        DestinationRefused { by: BY, host: HOST, why: WHY }
            Security Neither "a server that the box did not connect to" "设备拒绝连接的服务器",
        IncidentDetected { incident: INCIDENT, what: WHAT, impact: IMPACT, done: DONE, advice: ADVICE }
            Security Neither "what may be tampering, and what to do" "可能的改动或攻击及处置办法",
        IncidentCleared { incident: INCIDENT } Security Neither "that an incident is over" "安全事件结束",
        ClockStepped { from: FROM, to: TO } Duty Neither "that times do not fit together" "时钟跳变",
        Pruned { first: FIRST, last: LAST, from: FROM, until: UNTIL, checkpoint: CHECKPOINT }
            Duty Neither "proof of deletion: entries past their time" "到期条目的删除证明",
        EntriesLost { count: COUNT } Security Neither "that something is missing here" "此处有记录缺失",
        EntriesLeftOut { of: OF, count: COUNT } Security Neither "that something is missing here" "此处有记录未逐条写入",
        Probed { session: SESSION, sound: SOUND, policy_version: POLICY }
            Duty Personal "devices opened for a test, after a press" "按键后开启设备进行测试",
        UpdateOffered { version: VERSION, serial: SERIAL, security: SECURITY, keys: KEYS, channel: CHANNEL }
            Security Personal "which software was offered, and by whom" "提供的软件及其签名者",
        UpdatePostponed { until: UNTIL } Security Personal "an update was put off at the box" "在设备上推迟更新",
        UpdateAnnounced { version: VERSION, until: UNTIL } Security Neither "the software is to change" "更新预告",
        UpdateStarted { version: VERSION, former: FORMER, digest: DIGEST, attempt: ATTEMPT }
            Security Neither "which software the box ran" "开始更新",
        UpdateSucceeded { version: VERSION, attempt: ATTEMPT } Security Neither "which software the box ran" "更新成功",
        UpdateFailed { version: VERSION, attempt: ATTEMPT, why: WHY, again: AGAIN }
            Security Neither "which software was not installed, and why" "更新失败及原因",
        AgreementRefused { asked: ASKED, questions: QUESTIONS }
            Duty Personal "proof that consent was asked for and not given" "曾请求同意而员工未同意的证明",
        DesiredReceived { version: VERSION, digest: DIGEST, keys: KEYS }
            Security Personal "which key wanted another configuration" "收到期望配置及其签名者",
        DesiredPending { version: VERSION, changes: CHANGES } Duty Neither "recording waited for consent" "期望配置等待员工同意",
        DesiredAgreed { version: VERSION } Duty Personal "proof of fresh consent" "员工同意期望配置的证明",
        DesiredApplied { version: VERSION, hash: HASH, ingest_host: INGEST_HOST, taken: TAKEN }
            Security Neither "changes of the configuration" "期望配置生效",
        DesiredDropped { version: VERSION, why: WHY, asks: ASKS }
            Security Neither "changes of the configuration" "期望配置失效",
    }
}

/// The fields of all facts below `prefix`, each once.
pub(super) fn fields(prefix: &str) -> Vec<Datum> {
    let kind = purpose(Duty, Personal, "what happened", "发生了什么");
    let mut lines = vec![("kind", kind)];
    for (name, purpose) in kinds().into_iter().flat_map(|kind| kind.fields) {
        if lines.iter().all(|(known, _)| *known != name) {
            lines.push((name, purpose));
        }
    }
    below(prefix, &lines)
}
