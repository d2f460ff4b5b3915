//! The ledger: its entries, and what the database keeps beside them.

use super::{Datum, Part, Purpose, Recipient, Retention, Text, below, facts, fields, named, names};
use crate::ipc::LedgerEntry;
use crate::ledger::{BootTime, ClockMark, DesiredHistory, LedgerState, Refusals, ServiceEnd, Timeline, UpdateRecord};

fn own() -> [(&'static str, Purpose); 8] {
    fields! { LedgerEntry {
        seq: Duty Neither "the order of entries" "条目的顺序",
        at: Duty Personal "when it was" "发生的时间",
        clock: Duty Personal "when it was, by the box's clock" "设备时钟的读数",
        synchronised: Duty Neither "whether that clock could be believed" "当时的时钟是否可信",
        boot: Duty Neither "tells restarts apart; random, tells no box from another" "区分各次开机的随机数，不能识别设备",
        monotonic_ms: Duty Neither "how much time passed, whatever the clock says" "不受改钟影响的时间间隔",
        prev: Duty Neither "proof that nothing was changed or removed" "证明记录未被改动或删除",
        hash: Duty Neither "proof that nothing was changed or removed" "证明记录未被改动或删除",
    } nested { fact } }
}

/// An entry without its fact.
pub(super) fn entry(prefix: &str) -> Vec<Datum> {
    below(prefix, &own())
}

/// What is remembered of all entries, so that a long ledger need not be read again at each start.
fn state() -> [(&'static str, Purpose); 21] {
    fields! { LedgerState {
        last_session: Function Personal "number of the next session" "下一次直播的编号",
        open_session: Duty Personal "to end a session that a power cut ended" "断电后补记直播的结束",
        locked: Duty Personal "a withdrawal outlives a power cut" "撤回同意断电后依然有效",
        unbound: Duty Neither "an unbinding outlives a power cut" "解除绑定断电后依然有效",
        acknowledged: Duty Neither "the policy that staff acknowledged" "员工已确认的政策版本",
        announced: Duty Neither "the policy that staff are asked about" "待员工确认的政策版本",
        policy_pending: Duty Neither "whether staff have to acknowledge" "是否需要员工确认",
        carried: Duty Neither "a policy without material change" "无实质变化的政策版本",
        noted_pending: Duty Neither "a signed policy that waits" "等待确认的已签名政策",
        noted: Duty Neither "the latest signed policy" "最近的已签名政策",
        noted_keys: Security Personal "which operators' keys signed it" "签署该政策的密钥名称",
        erasing: Duty Neither "an erasure goes on after a power cut" "断电后继续未完成的删除",
        erasing_reason: Duty Personal "why somebody asked for the erasure" "要求删除的理由",
        footage: Duty Neither "since when footage is kept, by session" "各次直播的画面从何时起保存",
        receipt: Duty Personal "signed proof of what was deleted" "删除凭证（已签名）",
        identity: Security Neither "which key speaks for the box" "设备公钥指纹",
        unbound_entry: Duty Neither "what a former shop's entries are" "区分以前店铺的记录",
        configuration: Security Neither "whether the configuration changed" "配置是否改变",
        update_postponed: Security Neither "until when updates are put off" "更新推迟到何时",
        incidents: Security Neither "which incidents are not over" "尚未结束的安全事件",
        releases: Security Neither "no older release is taken" "防止软件版本回退",
    } nested { session_ended, update, desired, time, service_end, refusals } }
}

fn service_end() -> [(&'static str, Purpose); 4] {
    fields! { ServiceEnd {
        digest: Security Neither "one note ends one service" "同一份停止运营文件只生效一次",
        contacts: Duty Personal "whom people may ask" "咨询与投诉的联系方式",
        answer_days: Duty Neither "within how many days they are answered" "答复期限（天）",
        in_force: Duty Neither "the end of the service outlives a power cut" "停止运营断电后依然有效",
    } }
}

fn refusals() -> [(&'static str, Purpose); 2] {
    fields! { Refusals {
        questions: Duty Neither "nobody is asked again what they refused" "不再询问员工已拒绝的事项",
        times: Duty Neither "nobody is asked again what they refused" "不再询问员工已拒绝的事项",
    } }
}

fn session_ended() -> [(&'static str, Purpose); 2] {
    fields! { BootTime {
        boot: Function Neither "no update within 5 minutes of a session" "直播结束 5 分钟内不更新",
        monotonic_ms: Function Personal "no update within 5 minutes of a session" "直播结束 5 分钟内不更新",
    } }
}

fn update() -> [(&'static str, Purpose); 6] {
    fields! { UpdateRecord {
        digest: Security Neither "which release was tried" "尝试安装的软件",
        version: Security Neither "which version was tried" "尝试安装的版本",
        attempt: Security Neither "names the attempt; random" "本次安装的随机编号",
        open: Security Neither "whether it has ended" "安装是否结束",
        failed: Security Neither "whether it is tried again" "是否再次尝试",
        interrupted: Security Neither "how often it was cut short" "被中断的次数",
    } }
}

fn desired() -> [(&'static str, Purpose); 7] {
    fields! { DesiredHistory {
        received: Security Neither "no older configuration is taken" "防止配置回退",
        digest: Security Neither "which configuration was received" "收到的配置",
        announced: Duty Neither "what staff were asked about" "已询问员工的配置版本",
        applied: Security Neither "which configuration is in force" "生效的配置版本",
        applied_digest: Security Neither "which configuration is in force" "生效的配置",
        taken: Security Neither "which of its keys are in force" "生效的配置项",
        unsettled: Duty Neither "whether staff have to be asked" "是否需要询问员工",
    } }
}

fn time() -> [(&'static str, Purpose); 2] {
    fields! { Timeline {
        at: Duty Personal "no entry gets an earlier time than the last" "保证记录时间不倒退",
        seen_ms: Duty Neither "how much time the ledger has seen pass" "台账累计的时间",
    } nested { last, synchronised } }
}

fn mark() -> [(&'static str, Purpose); 4] {
    fields! { ClockMark {
        clock: Duty Personal "to measure time between restarts" "计算两次启动之间的时间",
        boot: Duty Neither "to measure time between restarts" "计算两次启动之间的时间",
        monotonic_ms: Duty Neither "to measure time between restarts" "计算两次启动之间的时间",
        seen_ms: Duty Neither "to measure time between restarts" "计算两次启动之间的时间",
    } }
}

/// Rows of the database that are no entries, and the file beside it.
fn beside() -> [(&'static str, Purpose); 8] {
    names! {
        "ledger": Duty Neither "which ledger it is: the hash of its first entry" "台账编号（首条记录的摘要）",
        "checkpoint": Duty Personal "what the box signed last: its name, size, root" "最近的已签名检查点（含设备名称）",
        "resume.seq": Duty Neither "how far the entries were verified" "已校验到的位置",
        "resume.hash": Duty Neither "how far the entries were verified" "已校验到的位置",
        "resume.tree": Duty Neither "how far the entries were verified" "已校验到的位置",
        "anchor.seq": Duty Neither "which entries were pruned" "已到期删除的条目",
        "anchor.hash": Duty Neither "what follows on pruned entries" "衔接已到期删除的条目",
        "anchor.tree": Duty Neither "what follows on pruned entries" "衔接已到期删除的条目",
    }
}

/// The state, as it lies beside the entries in two places.
fn remembered(prefix: &str) -> Vec<Datum> {
    [
        below(prefix, &state()),
        below(&format!("{prefix}.session-ended"), &session_ended()),
        below(&format!("{prefix}.service-end"), &service_end()),
        below(&format!("{prefix}.refusals"), &refusals()),
        below(&format!("{prefix}.update"), &update()),
        below(&format!("{prefix}.desired"), &desired()),
        below(&format!("{prefix}.time"), &time()),
        below(&format!("{prefix}.time.last"), &mark()),
        below(&format!("{prefix}.time.synchronised"), &mark()),
    ]
    .concat()
}

/// The ledger on the box.
pub(super) fn parts() -> Vec<Part> {
    let kept =
        |name, title, data| Part { name, title, recipient: Recipient::Nobody, retention: Retention::Ledger, data };
    let entries = [entry("ledger"), facts::fields("ledger.fact")].concat();
    let beside =
        [named("ledger", &beside()), remembered("ledger.resume.state"), remembered("ledger.anchor.state")].concat();
    vec![
        kept("ledger", Text::new("The consent ledger, on the box", "同意台账（保存在设备上）"), entries),
        kept("ledger", Text::new("What the ledger remembers of its entries", "台账对各条目的汇总"), beside),
    ]
}
