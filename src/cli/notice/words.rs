//! What the cards say: gestures with the times of the consent machine, the lamp's patterns, and what this box keeps.

use core::time::Duration;

use consent::{
    ACKNOWLEDGE_HOLD, LOCK_HOLD, LampPattern, MAX_MINORS_SESSION, PICTURE_BELOW, SOUND_BELOW, UNBIND_HOLD,
    UNBIND_WARNING_HOLD,
};

use crate::config::{Config, OutageBuffer};
use crate::text::{Language, Text};

/// A sentence with values in it, in the language of the card.
macro_rules! say {
    ($language:expr, $en:literal, $zh:literal) => {
        match $language {
            Language::En => format!($en),
            Language::Zh => format!($zh),
        }
    };
}

pub(super) use say;

/// Seconds as people read them.
pub(super) fn seconds(span: Duration) -> String {
    let text = format!("{:.1}", span.as_secs_f64());
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A span in the largest unit that it is a multiple of.
pub(super) fn span(language: Language, span: Duration) -> String {
    let whole = span.as_secs();
    match (whole.is_multiple_of(86_400), whole.is_multiple_of(3600), whole.is_multiple_of(60)) {
        (true, ..) if whole > 0 => {
            let days = whole / 86_400;
            say!(language, "{days} d", "{days} 天")
        }
        (_, true, _) if whole > 0 => {
            let hours = whole / 3600;
            say!(language, "{hours} h", "{hours} 小时")
        }
        (.., true) if whole > 0 => {
            let minutes = whole / 60;
            say!(language, "{minutes} min", "{minutes} 分钟")
        }
        _ => {
            let seconds = seconds(span);
            say!(language, "{seconds} s", "{seconds} 秒")
        }
    }
}

/// What each pattern of the lamp means, for staff. The match is total: a new pattern has its line.
pub(super) const fn lamp(pattern: LampPattern) -> Text {
    match pattern {
        LampPattern::Dark => Text::new("idle: camera and microphone are off", "空闲：摄像头和麦克风已关闭"),
        LampPattern::SlowPulse => {
            Text::new("asks you to start: press, or leave it", "请求开始：同意则按下，否则不理会")
        }
        LampPattern::FastBlink => Text::new("starting or stopping: may record", "正在开始或停止：可能在拍摄"),
        LampPattern::Solid => Text::new("live: picture and sound", "直播中：画面和声音"),
        LampPattern::SolidNotched => Text::new("live: picture, no sound", "直播中：仅画面，无声音"),
        LampPattern::DoubleBlink => Text::new("connection lost, still recording", "网络中断，仍在拍摄"),
        LampPattern::TripleBlink => Text::new("new policy or change: hold to agree", "新政策或更改：同意则按住"),
        LampPattern::LockFlash => Text::new("locked: nothing starts", "已锁定：不会开始拍摄"),
        LampPattern::Sos => Text::new("out of order: nothing starts", "故障：不会开始拍摄"),
        LampPattern::UnbindWarning => {
            Text::new("flicker: letting go soon unbinds the box", "急闪：再按住后松开将解除绑定")
        }
        LampPattern::UnbindRequest => {
            Text::new("asks to unbind: hold to agree, press: no", "请求解除绑定：按住同意，短按拒绝")
        }
        LampPattern::ReleaseNow => {
            Text::new("flicker after a press: guardian lets go now", "短按后急闪：监护人此时松开")
        }
        LampPattern::Identify => Text::new("shows which box this is", "提示：就是这台设备"),
        LampPattern::Notice => Text::new("something to look at: tell your manager", "有事项待查看：请告知负责人"),
    }
}

/// Whether the pattern belongs on the card of a box of this kind.
pub(super) const fn is_shown(pattern: LampPattern, minors_mode: bool) -> bool {
    match pattern {
        LampPattern::ReleaseNow => minors_mode,
        LampPattern::Dark
        | LampPattern::SlowPulse
        | LampPattern::FastBlink
        | LampPattern::Solid
        | LampPattern::SolidNotched
        | LampPattern::DoubleBlink
        | LampPattern::TripleBlink
        | LampPattern::LockFlash
        | LampPattern::Sos
        | LampPattern::UnbindWarning
        | LampPattern::UnbindRequest
        | LampPattern::Identify
        | LampPattern::Notice => true,
    }
}

/// The button, in main lines.
pub(super) fn gestures(language: Language, minors_mode: bool) -> Vec<String> {
    let (agree, lock, unbind) = (seconds(ACKNOWLEDGE_HOLD), seconds(LOCK_HOLD), seconds(UNBIND_HOLD));
    let mut all = vec![say!(language, "While lit, any touch stops it", "灯亮时，任何触碰都会停止")];
    if minors_mode {
        all.push(say!(language, "Press, then a guardian holds {agree} s", "短按后，监护人按住 {agree} 秒"));
    } else {
        all.push(say!(language, "Press: picture and sound", "短按：画面和声音"));
        all.push(say!(language, "Hold 1 s: picture only", "按住 1 秒：仅画面"));
    }
    all.push(say!(language, "Hold {agree} s: agree, or unlock", "按住 {agree} 秒：同意或解锁"));
    all.push(say!(language, "Hold {lock} s: privacy lock", "按住 {lock} 秒：隐私锁定"));
    all.push(say!(language, "Hold {unbind} s, let go: unbind", "按住 {unbind} 秒再松开：解除绑定"));
    all
}

/// The same with the exact times, in small.
pub(super) fn times(language: Language, minors_mode: bool) -> String {
    let (sound, picture) = (seconds(SOUND_BELOW), seconds(PICTURE_BELOW));
    let (warning, unbind) = (seconds(UNBIND_WARNING_HOLD), seconds(UNBIND_HOLD));
    let (agree, longest) = (seconds(ACKNOWLEDGE_HOLD), span(language, MAX_MINORS_SESSION));
    let press = say!(
        language,
        "Let go within {sound} s: with sound. From {sound} s to {picture} s: picture only. Longer holds start nothing. \
         From {warning} s on the lamp flickers; letting go from {unbind} s on destroys keys and footage.",
        "{sound} 秒内松开：有声音；{sound} 至 {picture} 秒：仅画面；更久不会开始。{warning} 秒起指示灯急闪，{unbind} 秒后松开将销毁密钥和录像。"
    );
    if !minors_mode {
        return press;
    }
    let guardian = say!(
        language,
        "The guardian lets go when the lamp flickers, after {agree} s and before {picture} s. A session ends after \
         {longest} at most.",
        "指示灯急闪时监护人松开（{agree} 秒后、{picture} 秒前）。每次拍摄最长 {longest}。"
    );
    let gap = match language {
        Language::En => " ",
        Language::Zh => "",
    };
    format!("{press}{gap}{guardian}")
}

/// What becomes of picture and sound, as the configuration has it.
pub(super) fn kept(language: Language, config: &Config) -> Vec<String> {
    let hosts = config.ingest.hosts();
    let size = config.ingest.outage.size_mib;
    let window = config.ingest.reconnect_window;
    let days = config.privacy.ledger_retention.as_secs() / 86_400;
    let waits = match config.ingest.outage.buffer {
        OutageBuffer::Memory => {
            let window = span(language, window);
            say!(
                language,
                "While that server is out of reach, at most {size} MiB wait in memory for at most {window}; they are gone \
                 when the recording ends.",
                "服务器无法连接时，最多 {size} MiB 在内存中等待，最长 {window}；拍摄结束即消失。"
            )
        }
        OutageBuffer::Disk if config.keeps_footage() => {
            let longest = span(language, config.privacy.footage_retention);
            say!(
                language,
                "While that server is out of reach, at most {size} MiB wait on disk, encrypted. What could not be sent is \
                 kept here for at most {longest}; only the operator can read it.",
                "服务器无法连接时，最多 {size} MiB 加密后在磁盘上等待。未能送达的部分加密保存，最长 {longest}，仅运营者可以读取。"
            )
        }
        OutageBuffer::Disk => {
            let longest = span(language, window.min(config.privacy.footage_retention));
            say!(
                language,
                "While that server is out of reach, at most {size} MiB wait on disk, encrypted, for at most {longest}; they \
                 are gone when the recording ends.",
                "服务器无法连接时，最多 {size} MiB 加密后在磁盘上等待，最长 {longest}；拍摄结束即消失。"
            )
        }
    };
    vec![
        say!(
            language,
            "Picture and sound go live to {hosts}, for the show that staff started here with a press. Nobody can start \
             it from afar.",
            "画面和声音实时传送到 {hosts}，用于店员在此按键开始的直播。任何人都不能远程开始。"
        ),
        waits,
        say!(
            language,
            "When recording started and stopped is kept for {days} days, as the law asks: without names, pictures or sound.",
            "拍摄开始和停止的时间按法律要求保存 {days} 天，不含姓名、画面和声音。"
        ),
    ]
}

/// What staff know of footage that stays on the box; nothing where none does.
pub(super) fn stored(language: Language, config: &Config) -> Option<String> {
    let (longest, lock) = (span(language, config.privacy.footage_retention), seconds(LOCK_HOLD));
    config.keeps_footage().then(|| {
        say!(
            language,
            "Unsent footage is kept here, at most {longest}; holding for {lock} s destroys it.",
            "未送达的录像在此保存，最长 {longest}；按住 {lock} 秒即销毁。"
        )
    })
}

/// The lines for people under 14 and their guardians. A hold of a guardian's is told only where the box asks for it.
pub(super) fn minors(language: Language, minors_mode: bool) -> (String, Vec<String>) {
    let main = if minors_mode {
        say!(language, "Under 14: a guardian agrees first", "未满 14 周岁：须监护人先同意")
    } else {
        say!(language, "Under 14: tell staff first", "未满 14 周岁：请先告知店员")
    };
    let mut small = vec![say!(
        language,
        "Recording people under 14 needs the consent of a parent or guardian who has read the policy. This box recognises \
         no faces and no ages. A guardian may ask at any time to stop, to see what is kept, and to have it deleted.",
        "拍摄未满 14 周岁的人须经父母或其他监护人阅读政策并同意。本设备不识别人脸和年龄。监护人可随时要求停止、查阅和删除。"
    )];
    if minors_mode {
        let (hold, longest) = (seconds(ACKNOWLEDGE_HOLD), span(language, MAX_MINORS_SESSION));
        small.push(say!(
            language,
            "Before each recording a guardian holds the button for {hold} s. It ends after {longest} at most, nothing of it \
             is stored here, and nobody can ask for it from afar.",
            "每次拍摄前监护人须按住按钮 {hold} 秒；每次最长 {longest}，本设备不存储内容，且不接受远程请求。"
        ));
    }
    (main, small)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_read_them() {
        assert_eq!((seconds(SOUND_BELOW), seconds(LOCK_HOLD)), ("0.7".to_owned(), "5".to_owned()));
        for (secs, en, zh) in
            [(90, "90 s", "90 秒"), (600, "10 min", "10 分钟"), (7200, "2 h", "2 小时"), (172_800, "2 d", "2 天")]
        {
            let length = Duration::from_secs(secs);
            assert_eq!((span(Language::En, length), span(Language::Zh, length)), (en.to_owned(), zh.to_owned()));
        }
    }

    #[test]
    fn no_two_patterns_have_the_same_words() {
        for language in [Language::En, Language::Zh] {
            let mut all: Vec<_> = LampPattern::ALL.into_iter().map(|pattern| lamp(pattern).get(language)).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), LampPattern::ALL.len());
        }
    }
}
