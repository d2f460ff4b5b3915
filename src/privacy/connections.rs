//! What connections tell besides messages and streams: names, addresses, certificates.

use super::{Part, Purpose, Recipient, Retention, Text, named, names};

fn connect() -> [(&'static str, Purpose); 9] {
    names! {
        "client-id": Function Personal "the box's name, as it is configured or derived" "设备名称（配置或派生，不含序列号）",
        "user-name": Security Personal "the box's account at the broker, if configured" "服务器账户名（已配置时）",
        "password": Security Personal "the same account's password, if configured" "服务器账户密码（已配置时）",
        "protocol": Function Neither "version, keep-alive, session time and limits: fixed" "协议版本、心跳、会话时长与限制（固定值）",
        "will.topic": Function Personal "where the broker says that the box is gone" "设备离线时服务器发布的主题",
        "will.payload": Function Personal "what it says there: offline" "离线通知的内容：offline",
        "subscriptions": Function Personal "topics of commands, policy, configuration, releases" "订阅的主题：指令、政策、配置、更新",
        "topics": Function Personal "prefix and name of the box, in all topics" "各主题中的前缀与设备名称",
        "response": Function Neither "address and data of the asker, as they came" "按请求方给出的地址与数据原样回复",
    }
}

fn tls() -> [(&'static str, Purpose); 3] {
    names! {
        "server-name": Function Neither "which server is meant, as it is configured" "所连服务器的名称（配置值）",
        "client-certificate": Security Personal "which box it is: what the operator wrote into it" "客户端证书：运营者写入的设备名称",
        "hello": Security Neither "random numbers and methods of this software" "本软件的加密方式与随机数",
    }
}

fn network() -> [(&'static str, Purpose); 1] {
    names! { "source-address": Function Personal "answers come back to it" "源网络地址，用于接收回复" }
}

fn dns() -> [(&'static str, Purpose); 1] {
    names! { "question": Function Neither "the addresses of the servers that are configured" "查询配置中各服务器的地址" }
}

fn update() -> [(&'static str, Purpose); 4] {
    names! {
        "url": Security Neither "which package: the address in the signed release" "软件包地址（来自已签名的发布信息）",
        "range": Security Neither "how much of it is here already" "断点续传的位置",
        "user-agent": Function Neither "fixed: name and version of the HTTP library" "固定值，HTTP 库名称与版本",
        "accept": Function Neither "fixed: which forms of an answer are taken" "固定值，可接受的回复格式",
    }
}

/// All of them.
pub(super) fn parts() -> Vec<Part> {
    let part = |name, en, zh, recipient, lines: &[(&str, Purpose)]| Part {
        name,
        title: Text::new(en, zh),
        recipient,
        retention: Retention::Connection,
        data: named(name, lines),
    };
    vec![
        part("connect", "Connection to the broker (MQTT)", "与服务器的连接（MQTT）", Recipient::Platform, &connect()),
        part("tls", "TLS, wherever it is spoken", "TLS 加密连接", Recipient::Servers, &tls()),
        part("network", "Every connection", "所有网络连接", Recipient::Servers, &network()),
        part("dns", "Look-up of names", "域名查询", Recipient::NameServer, &dns()),
        part("update-request", "Download of an update", "下载更新", Recipient::UpdateServer, &update()),
    ]
}
