//! What the agent publishes to the broker.

use super::{Datum, Part, Purpose, Recipient, Retention, Text, below, facts, fields, ledger, named, names};
use crate::agent::messages::{Answer, Diagnosis, Published, Reply};
use crate::agent::publisher::Kind;
use crate::agent::state::State;
use crate::agent::telemetry::Telemetry;
use crate::config::DESIRED_KEYS;
use crate::ipc::{KeyReport, ReportedConfig};

fn state() -> [(&'static str, Purpose); 12] {
    fields! { State {
        phase: Function Personal "whether the box is on air, seen from afar" "远程查看是否正在直播",
        session: Function Personal "to tell one session from the next" "区分各次直播",
        since: Function Personal "how long that has been so" "当前状态开始的时间",
        reason: Function Personal "to tell staff why a session ended" "告知员工直播结束的原因",
        muted: Function Personal "whether the sound is off" "是否已静音",
        policy_version: Duty Neither "under which policy the box records" "当前适用的隐私政策版本",
        software: Security Neither "to know which boxes need an update" "判断设备是否需要更新软件",
        warnings: Security Neither "doubts about the way to the broker" "与服务器连接的安全隐患提示",
        incidents: Security Neither "which incidents are not over" "尚未结束的安全事件",
        epoch: Security Neither "random at each start: commands name it" "每次启动生成的随机数，防止指令重放",
        uptime_s: Security Neither "deadlines of commands count it" "用于计算指令的有效期",
        signed_commands: Security Neither "whether commands have to be signed" "指令是否必须签名",
    } }
}

fn telemetry() -> [(&'static str, Purpose); 23] {
    fields! { Telemetry {
        uptime_s: Security Neither "to notice boxes that restart" "发现频繁重启的设备",
        guard_uptime_s: Security Neither "deadlines of commands count it" "用于计算指令的有效期",
        temperature_c: Security Neither "to notice boxes that get too hot" "发现过热的设备",
        throttled: Security Neither "to notice weak power supplies" "发现供电不足的设备",
        memory_available_mib: Security Neither "to notice boxes short of memory" "发现内存不足的设备",
        disk_free_mib: Security Neither "to notice boxes with a full disk" "发现磁盘将满的设备",
        certificate_expires: Security Neither "to renew certificates in time" "及时更换证书",
        fps: Function Neither "quality of the stream" "直播画质",
        bitrate_kbps: Function Neither "quality of the stream" "直播画质",
        target_kbps: Function Neither "quality of the stream" "直播画质",
        height: Function Neither "quality of the stream" "直播画质",
        reduced: Function Neither "to notice networks that are too slow" "发现带宽不足的网络",
        queue_ms: Function Neither "quality of the network" "网络质量",
        dropped_frames: Function Neither "quality of the network" "网络质量",
        round_trip_ms: Function Neither "quality of the network" "网络质量",
        reconnects: Function Neither "quality of the network" "网络质量",
        link_kind: Function Neither "cable, Wi-Fi or mobile; never which network" "有线、无线或移动网络；不含网络名称",
        link_metered: Function Neither "to notice streams that cost by volume" "发现按流量计费的推流",
        second_on_air: Function Neither "whether the second server has the stream" "第二推流地址是否在播",
        second_bitrate_kbps: Function Neither "quality of the stream" "直播画质",
        second_dropped_frames: Function Neither "quality of the network" "网络质量",
        second_reconnects: Function Neither "quality of the network" "网络质量",
        level_db: Consent Personal "a dead microphone: loudness, no words" "发现失灵的麦克风：仅音量，不含内容",
    } }
}

/// An event's own field; the others are the ledger's.
fn event() -> [(&'static str, Purpose); 1] {
    // `Published` has a lifetime, which the macro does not name.
    const _: fn(&Published<'_>) = |value| {
        let Published { id: _, entry: _ } = value;
    };
    names! { "id": Duty Neither "so that each event counts once" "保证每条事件只计一次" }
}

fn reply() -> [(&'static str, Purpose); 7] {
    fields! { Reply {
        id: Function Neither "which command it answers" "所回复指令的编号",
        verb: Function Neither "which command it answers" "所回复的指令",
        ok: Function Neither "whether it was done" "是否已执行",
        error: Function Neither "why it was refused, and what to do" "被拒绝的原因及处理办法",
        code: Function Neither "the same as a word" "被拒绝原因的代码",
        progress: Function Neither "what the command waits for" "指令正在等待的事项",
        receipt: Duty Personal "signed proof of what was deleted" "删除凭证（已签名）",
    } nested { diagnosis } }
}

fn answer() -> [(&'static str, Purpose); 2] {
    fields! { Answer {
        epoch: Security Neither "random at each start: commands name it" "每次启动生成的随机数，防止指令重放",
        uptime_s: Security Neither "deadlines of commands count it" "用于计算指令的有效期",
    } nested { reply, state } }
}

fn diagnosis() -> [(&'static str, Purpose); 5] {
    fields! { Diagnosis {
        software: Security Neither "to know which boxes need an update" "判断设备是否需要更新软件",
        tls: Security Neither "whether the connection is encrypted" "连接是否加密",
        unacknowledged_events: Security Neither "events that wait" "等待送达的事件数",
        acknowledged_event: Security Neither "how far the platform has the ledger" "平台已收到的台账位置",
        faults: Security Neither "parts that do not work" "有故障的部件",
    } nested { status, telemetry } }
}

fn reported() -> [(&'static str, Purpose); 4] {
    fields! { ReportedConfig {
        epoch: Security Neither "to tell starts of the guard apart" "区分各次启动",
        for_version: Function Neither "which configuration it answers" "所回复的配置版本",
        code: Function Neither "why a configuration was refused" "配置被拒绝原因的代码",
        error: Function Neither "why, and what to do" "配置被拒绝的原因及处理办法",
    } nested { keys } }
}

/// What is told of one key that the platform wanted.
fn key_report() -> [(&'static str, Purpose); 3] {
    fields! { KeyReport {
        value: Function Neither "the value in force; never a secret" "当前生效的值；不含密钥",
        code: Function Neither "what became of the wanted value" "期望值的处理结果",
        text: Function Neither "what to do about it" "处理办法",
    } }
}

/// Each key that the platform may want, with the parts of its value; any other comes back under its own name with a
/// code and a text.
fn reported_keys() -> Vec<Datum> {
    let [value, rest @ ..] = key_report();
    let mut all = Vec::new();
    for key in DESIRED_KEYS {
        let name = format!("reported.keys.{}", key.name);
        all.extend(below(&name, &[value]));
        let inside: Vec<_> = key.kind.parts().iter().map(|part| (*part, value.1)).collect();
        all.extend(below(&format!("{name}.value"), &inside));
        all.extend(below(&name, &rest));
    }
    all
}

/// The parts of a signed checkpoint.
fn checkpoint() -> [(&'static str, Purpose); 4] {
    names! {
        "origin": Duty Personal "which ledger: the box's name and key" "台账名称（含设备名称与密钥指纹）",
        "size": Duty Neither "how many entries it has" "台账的条目数",
        "root": Duty Neither "proof that nothing was changed or removed" "证明记录未被改动或删除",
        "signature": Duty Neither "proof that the box says so" "设备的签名",
    }
}

/// What is published under each kind of topic: a new kind does not compile.
fn of_kind(kind: Kind) -> Vec<Datum> {
    match kind {
        Kind::Availability => {
            named("availability", &names! { "": Function Personal "whether the box is reachable" "设备是否在线" })
        }
        Kind::State => below("state", &state()),
        Kind::Reported => [below("reported", &reported()), reported_keys()].concat(),
        Kind::Checkpoint => named("checkpoint", &checkpoint()),
        Kind::Telemetry => below("telemetry", &telemetry()),
        Kind::Event => [named("event", &event()), ledger::entry("event"), facts::fields("event.fact")].concat(),
        Kind::HomeAssistant => super::home_assistant::data(),
        Kind::Reply(_) => [
            below("reply", &reply()),
            below("reply", &answer()),
            below("reply.state", &state()),
            below("reply.diagnosis", &diagnosis()),
            below("reply.diagnosis.status", &state()),
            below("reply.diagnosis.telemetry", &telemetry()),
        ]
        .concat(),
    }
}

/// The topics of the box, but for Home Assistant's.
pub(super) fn parts() -> Vec<Part> {
    let part = |kind: Kind, name, en, zh, retention| Part {
        name,
        title: Text::new(en, zh),
        recipient: Recipient::Platform,
        retention,
        data: of_kind(kind),
    };
    let reply = Kind::Reply(crate::agent::publisher::Urgency::Idle);
    vec![
        part(Kind::Availability, "availability", "Whether the box is connected", "在线状态", Retention::Newest),
        part(Kind::State, "state", "What the box is doing", "运行状态", Retention::Newest),
        part(Kind::Telemetry, "telemetry", "How the machine does", "设备健康数据", Retention::NotKept),
        part(Kind::Event, "event", "Entries of the ledger, as they are sent", "发送的台账条目", Retention::Ledger),
        part(reply, "reply", "Answers to commands", "对指令的回复", Retention::NotKept),
        part(
            Kind::Reported,
            "reported",
            "What became of a desired configuration",
            "期望配置的处理结果",
            Retention::Newest,
        ),
        part(Kind::Checkpoint, "checkpoint", "What the ledger is bound to", "台账检查点", Retention::Newest),
    ]
}
