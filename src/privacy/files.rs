//! What lies in data-dir, runtime-dir and /etc/tallybox, and in the machine's journal. A store is called like its file,
//! without an ending.

use super::{Basis, Category, Part, Purpose, Recipient, Retention, Text, below, fields, named, names, purpose};
use crate::agent::due_answers::DueAnswer;
use crate::agent::reply_store::StoredReply;
use crate::config::Config;
use crate::ipc::{BoxIdentity, LedgerCursor};
use Recipient::{AtTheBox, JournalReaders, Nobody};
use Retention::{
    Journal, KeptFootage, LastCommands, Outage, RootsFile, UntilPowerOff, UntilUnbound, UntilUpdateEnds, WhileItLasts,
};

fn identity() -> [(&'static str, Purpose); 3] {
    fields! { BoxIdentity {
        fingerprint: Security Neither "tells this box's key from others" "区分设备密钥的指纹",
        claim_code: Security Neither "to claim the box: short enough to be read out" "绑定设备时口头核对的短码",
        verifier_key: Security Neither "to check receipts: the public half of the key" "公钥，用于验证凭证",
    } }
}

fn key() -> [(&'static str, Purpose); 2] {
    names! {
        "private-key": Security Personal "signs for the box; without a TPM not encrypted" "设备私钥，从不外传；无 TPM 时未加密",
        "public-key": Security Neither "shows whether the file is damaged" "设备公钥，用于校验文件完整",
    }
}

fn sealed_key() -> [(&'static str, Purpose); 3] {
    names! {
        "private-key": Security Personal "signs for the box; encrypted by the machine's TPM" "设备私钥，由本机 TPM 加密",
        "public-key": Security Neither "which key it is, also where the TPM fails" "设备公钥，TPM 失效时仍可识别设备",
        "digest": Security Neither "shows whether the file is damaged" "用于校验文件完整",
    }
}

fn answers() -> [(&'static str, Purpose); 5] {
    fields! { StoredReply {
        id: Security Neither "no command is carried out twice" "防止重复执行指令",
        verb: Security Neither "no command is carried out twice" "防止重复执行指令",
        ok: Function Neither "a repeated command gets the same answer" "重复的指令得到相同的回复",
        error: Function Neither "a repeated command gets the same answer" "重复的指令得到相同的回复",
        code: Function Neither "a repeated command gets the same answer" "重复的指令得到相同的回复",
    } }
}

fn due_answers() -> [(&'static str, Purpose); 4] {
    fields! { DueAnswer {
        attempt: Function Neither "which update is to be answered" "待回复的更新",
        id: Function Neither "which command is to be answered" "待回复的指令编号",
        topic: Function Neither "where the answer goes" "回复的主题",
        correlation: Function Neither "what the asker sent along" "请求方附带的数据",
    } }
}

fn cursor() -> [(&'static str, Purpose); 2] {
    fields! { LedgerCursor {
        ledger: Duty Neither "which ledger the platform reads" "平台所读台账的编号",
        seq: Duty Neither "how far the platform has read it" "平台已收到的位置",
    } }
}

/// The sections of the configuration; what a file has in it is root's.
fn configuration() -> [(&'static str, Purpose); 15] {
    fields! { Config {
        device: Function Personal "the box's name, and its folders" "设备名称与目录",
        panel: Function Neither "what button and lamp are connected to" "按键与指示灯的接线",
        video: Function Neither "the camera, and the picture's form" "摄像头与画面参数",
        overlay: Consent Personal "the shop's name on the picture" "画面上的店铺名称",
        masks: Function Neither "what of the picture stays black" "画面遮挡区域",
        audio: Consent Neither "the microphone, and the sound's form" "麦克风与声音参数",
        capture: Function Neither "when a lost camera ends a session" "摄像头断开的时限",
        ingest: Function Personal "where streams go; secrets by name only" "推流地址；密钥只写名称",
        mqtt: Function Personal "where the broker is; secrets by name only" "服务器地址；密钥只写名称",
        consent: Duty Neither "which policy, how long a session" "政策版本与直播时长",
        privacy: Duty Neither "where streams may go, how long things are kept" "允许的推流地址与保存期限",
        residency: Duty Neither "in which networks servers may stand" "服务器所在网络的限制",
        trust: Security Personal "whose signatures count: names and public keys" "可信签名者的名称与公钥",
        update: Security Neither "when updates are installed" "更新的安装时间",
        third_parties: Duty Neither "to whom recipients pass data on, as declared" "运营者声明的第三方",
    } nested { path, hash, files, warnings } }
}

fn journal() -> [(&'static str, Purpose); 1] {
    names! { "": Security Neither "why something fails; no picture, sound, secret" "故障原因；不含画面、声音和密钥" }
}

fn secrets() -> [(&'static str, Purpose); 5] {
    names! {
        "stream-key": Security Personal "proves to the ingest server that the stream may" "推流密钥",
        "srt-passphrase": Security Personal "encrypts the stream" "SRT 加密口令",
        "mqtt-password": Security Personal "proves to the broker which box it is" "服务器账户密码",
        "client-key": Security Personal "proves to the broker which box it is" "客户端证书的私钥",
        "client-certificate": Security Personal "tells the broker which box it is" "客户端证书",
    }
}

/// Files without a form of their own.
const PLAIN: [(&str, Retention, Text, Purpose); 14] = [
    (
        "footage",
        Outage,
        Text::new("File of an outage", "断网缓存"),
        purpose(Basis::Consent, Category::Sensitive, "unsent picture and sound, sealed", "未发送的画面与声音（加密）"),
    ),
    (
        "ledger-reserve",
        UntilUnbound,
        Text::new("Room for the ledger", "台账的预留空间"),
        purpose(Basis::Duty, Category::Neither, "holds room on the disk; no data", "为台账预留磁盘空间，不含数据"),
    ),
    (
        "ledger-mismatch",
        WhileItLasts,
        Text::new("What is wrong with the ledger", "台账异常说明"),
        purpose(Basis::Security, Category::Neither, "what no ledger could take yet", "尚无法写入台账的异常说明"),
    ),
    (
        "case-open",
        UntilPowerOff,
        Text::new("The simulated case", "模拟机壳开关"),
        purpose(
            Basis::Function,
            Category::Neither,
            "an open simulated case; development only",
            "模拟机壳（仅开发环境）",
        ),
    ),
    (
        "kept-footage",
        KeptFootage,
        Text::new("Footage that could not be delivered", "未能送达的画面与声音"),
        purpose(
            Basis::Consent,
            Category::Sensitive,
            "picture and sound for the operator, encrypted to the operator's key",
            "供运营者取用的画面与声音（以运营者公钥加密）",
        ),
    ),
    (
        "credentials-erasure",
        WhileItLasts,
        Text::new("The guard's word to the helper that deletes credentials", "请求删除凭据的文件"),
        purpose(Basis::Security, Category::Neither, "asks the helper; random", "请求删除凭据的随机编号"),
    ),
    (
        "broker-remarks",
        WhileItLasts,
        Text::new("For tallybox doctor", "供 tallybox doctor 查看"),
        purpose(Basis::Security, Category::Neither, "what is wrong between box and broker", "设备与服务器之间的问题"),
    ),
    (
        "home-assistant",
        UntilUnbound,
        Text::new("What Home Assistant was told", "已向 Home Assistant 发布的主题"),
        purpose(
            Basis::Function,
            Category::Personal,
            "topics to withdraw, with the box's name",
            "待撤回的主题（含设备名称）",
        ),
    ),
    (
        "update-attempt",
        UntilUpdateEnds,
        Text::new("The guard's word to the updater", "发给更新程序的请求"),
        purpose(Basis::Security, Category::Neither, "asks the updater; random", "请求安装更新的随机编号"),
    ),
    (
        "update-package",
        UntilUpdateEnds,
        Text::new("A downloaded package", "已下载的软件包"),
        purpose(Basis::Security, Category::Neither, "the software to be installed", "待安装的软件包"),
    ),
    (
        "guard-lock",
        UntilPowerOff,
        Text::new("guard.lock", "guard.lock"),
        purpose(Basis::Function, Category::Neither, "one guard at a time; empty", "保证只运行一个守护进程（空文件）"),
    ),
    (
        "guard-sock",
        UntilPowerOff,
        Text::new("guard.sock", "guard.sock"),
        purpose(
            Basis::Function,
            Category::Neither,
            "how local programs reach the guard; no data",
            "本机程序的连接入口，不含数据",
        ),
    ),
    (
        "capture-pid",
        WhileItLasts,
        Text::new("capture.pid", "capture.pid"),
        purpose(
            Basis::Security,
            Category::Neither,
            "which process captures, so that it can be ended",
            "采集进程编号，确保能够终止",
        ),
    ),
    (
        "lamp",
        UntilPowerOff,
        Text::new("The simulated lamp", "模拟指示灯"),
        purpose(
            Basis::Function,
            Category::Neither,
            "what the simulated lamp shows; development only",
            "模拟指示灯（仅开发环境）",
        ),
    ),
];

fn plain() -> impl Iterator<Item = Part> {
    PLAIN.into_iter().map(|(name, retention, title, purpose)| Part {
        name,
        title,
        recipient: Nobody,
        retention,
        data: named(name, &[("", purpose)]),
    })
}

/// Everything that is stored and is neither the ledger nor a note.
pub(super) fn parts() -> Vec<Part> {
    let part =
        |name, en, zh, recipient, retention, data| Part { name, title: Text::new(en, zh), recipient, retention, data };
    let mut all = vec![
        part("identity", "Which box it is", "设备身份", AtTheBox, UntilUnbound, below("identity", &identity())),
        part("identity", "The box's key", "设备密钥", Nobody, UntilUnbound, named("identity", &key())),
        part(
            "identity-sealed",
            "The box's key, on a machine with a TPM",
            "设备密钥（有 TPM 的机器）",
            Nobody,
            UntilUnbound,
            named("identity-sealed", &sealed_key()),
        ),
        part(
            "outbox-cursor",
            "How far events were sent",
            "台账的发送进度",
            Nobody,
            UntilUnbound,
            below("outbox-cursor", &cursor()),
        ),
        part(
            "answers",
            "Answers to the last commands",
            "最近指令的回复",
            Nobody,
            LastCommands,
            below("answers", &answers()),
        ),
        part(
            "due-answers",
            "Answers that are due after an update",
            "更新后待发的回复",
            Nobody,
            UntilUpdateEnds,
            below("due-answers", &due_answers()),
        ),
    ];
    all.extend(plain());
    all.extend([
        part(
            "configuration",
            "Files of /etc/tallybox: sections",
            "/etc/tallybox 中的配置",
            Nobody,
            RootsFile,
            below("configuration", &configuration()),
        ),
        part(
            "secrets",
            "Files of /etc/tallybox: secrets",
            "/etc/tallybox 中的密钥",
            Nobody,
            RootsFile,
            named("secrets", &secrets()),
        ),
        part("journal", "The machine's journal", "系统日志", JournalReaders, Journal, named("journal", &journal())),
    ]);
    all
}
