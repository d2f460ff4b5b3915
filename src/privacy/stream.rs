//! Picture and sound, and what the protocols say beside them.

use super::{Part, Purpose, Recipient, Retention, Text, named, names};

fn seen_and_heard() -> [(&'static str, Purpose); 5] {
    names! {
        "picture": Consent Sensitive "the live show that staff started with a press" "员工按键后开始的直播画面",
        "sound": Consent Sensitive "the same, after a short press only, and never while muted" "直播声音；仅短按开始时采集，静音时不采集",
        "overlay": Consent Personal "the shop's name on the picture, if the shop wants it" "画面上的店铺名称（店铺选用时）",
        "clock": Consent Neither "the time of day on the picture, if the shop wants it" "画面上的时间（店铺选用时）",
        "encoder": Function Neither "name and settings of the encoder, where it writes them" "编码器名称与参数（编码器自行写入时）",
    }
}

fn rtmp() -> [(&'static str, Purpose); 22] {
    names! {
        "app": Function Neither "which application of the server takes the stream" "服务器上接收直播的应用名",
        "type": Function Neither "fixed: nonprivate" "固定值 nonprivate",
        "flashVer": Function Neither "fixed: the name of this software" "固定值，软件名称",
        "tcUrl": Function Neither "the server's address, as it is configured" "配置中的服务器地址",
        "stream-key": Security Personal "which channel the stream belongs to, and that it may" "推流密钥：确认频道及推流权限",
        "login": Security Personal "user name, and proof of the password, if configured" "用户名及密码校验值（已配置时）",
        "handshake": Function Neither "random numbers, new for each connection" "每次连接重新生成的随机数",
        "timestamp": Function Neither "order of picture and sound, from 0 in each session" "音视频时间戳，每次直播从零开始",
        "metadata.duration": Function Neither "fixed: 0" "固定值 0",
        "metadata.fileSize": Function Neither "fixed: 0" "固定值 0",
        "metadata.width": Function Neither "so that players know the picture's size" "画面宽度，供播放器使用",
        "metadata.height": Function Neither "so that players know the picture's size" "画面高度，供播放器使用",
        "metadata.videocodecid": Function Neither "so that players can decode" "视频编码格式，供播放器解码",
        "metadata.videodatarate": Function Neither "so that servers know what comes" "视频码率，供服务器参考",
        "metadata.framerate": Function Neither "so that players know the rate" "帧率，供播放器使用",
        "metadata.audiocodecid": Function Neither "so that players can decode" "音频编码格式，供播放器解码",
        "metadata.audiodatarate": Function Neither "so that servers know what comes" "音频码率，供服务器参考",
        "metadata.audiosamplerate": Function Neither "so that players can decode" "音频采样率，供播放器解码",
        "metadata.audiosamplesize": Function Neither "so that players can decode" "音频采样位数，供播放器解码",
        "metadata.audiochannels": Function Neither "so that players can decode" "声道数，供播放器解码",
        "metadata.stereo": Function Neither "so that players can decode" "是否立体声，供播放器解码",
        "metadata.encoder": Function Neither "fixed: tallybox" "固定值 tallybox",
    }
}

fn srt() -> [(&'static str, Purpose); 4] {
    names! {
        "stream-id": Security Personal "which channel the stream belongs to, and that it may" "流标识：确认频道及推流权限",
        "handshake": Function Neither "version, latency and random numbers of the connection" "连接的版本、延迟参数与随机数",
        "key-material": Security Neither "the session's key, wrapped; never the passphrase" "经口令加密的会话密钥；口令本身不发送",
        "acknowledgements": Function Neither "to make good what is lost, and to know the network" "用于补发丢包、估计网络状况",
    }
}

fn whip() -> [(&'static str, Purpose); 9] {
    names! {
        "url": Security Personal "where the stream goes; its path may have a key" "推流地址；路径中可能含密钥",
        "token": Security Personal "that the stream may" "推流令牌，确认推流权限",
        "user-agent": Function Neither "fixed: name and version of the HTTP library" "固定值，HTTP 库名称与版本",
        "sdp.session": Function Neither "random numbers of the session" "会话随机编号",
        "sdp.media": Function Neither "codecs and formats, so that the server can decode" "编码与格式，供服务器解码",
        "sdp.ice": Security Neither "random name and password of the connection" "连接用的随机用户名与口令",
        "sdp.fingerprint": Security Neither "of a certificate made for this session" "本次会话临时证书的指纹",
        "headers": Function Neither "fixed: form and length of the offer, and which answers are taken" "请求的格式、长度与可接受的回复（固定值）",
        "sdp.candidates": Function Personal "the address and port that face the server, and no other address" "面向服务器的地址与端口；不含设备的其他地址",
    }
}

/// The stream, by all its ways.
pub(super) fn parts() -> Vec<Part> {
    let part = |name, title, recipient, retention, data| Part { name, title, recipient, retention, data };
    let (ingest, second) = (Recipient::Ingest, Recipient::Second);
    let picture = Text::new("Picture and sound", "画面与声音");
    let again = Text::new("The same to a second destination", "发往第二推流地址的画面与声音");
    let beside = |en, zh| Text::new(en, zh);
    vec![
        part("stream", picture, ingest, Retention::Outage, named("stream", &seen_and_heard())),
        part("second", again, second, Retention::Outage, named("second", &seen_and_heard())),
        part(
            "rtmp",
            beside("Beside them over RTMP", "RTMP 推流附带的信息"),
            ingest,
            Retention::Connection,
            named("rtmp", &rtmp()),
        ),
        part(
            "srt",
            beside("Beside them over SRT", "SRT 推流附带的信息"),
            ingest,
            Retention::Connection,
            named("srt", &srt()),
        ),
        part(
            "whip",
            beside("Beside them over WHIP", "WHIP 推流附带的信息"),
            ingest,
            Retention::Connection,
            named("whip", &whip()),
        ),
    ]
}
