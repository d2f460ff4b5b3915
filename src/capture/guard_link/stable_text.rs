//! Takes out of a text what differs from one attempt to the next, so that the same error reads the same at each retry,
//! and is logged once. Every text that capture sends to the guard passes here.

use crate::ipc::{FromCapture, SecondaryStats};

/// So many digits in a row are no size, rate or port that somebody configured, but a socket's number, a time or a
/// counter.
const MIN_COUNTER_DIGITS: usize = 5;
/// The ends of names that GStreamer gives to elements. It adds a counter to them.
const ELEMENT_NAME_ENDS: [&str; 22] = [
    "src", "sink", "dec", "enc", "bin", "queue", "parse", "parser", "demux", "mux", "pay", "depay", "filter",
    "convert", "scale", "rate", "pool", "find", "pipeline", "identity", "typefind", "element",
];

/// `message` with its text made stable.
pub(super) fn stabilize_message(message: FromCapture) -> FromCapture {
    match message {
        FromCapture::Encoder { name, why } => FromCapture::Encoder { name, why: stabilize(&why) },
        FromCapture::EncoderFallback { from, to, why } => {
            FromCapture::EncoderFallback { from, to, why: stabilize(&why) }
        }
        FromCapture::Reconnecting { reason } => FromCapture::Reconnecting { reason: stabilize(&reason) },
        FromCapture::DeviceLost { device, why } => FromCapture::DeviceLost { device, why: stabilize(&why) },
        FromCapture::Secondary(second) => {
            let reason = second.reason.as_deref().map(stabilize);
            FromCapture::Secondary(SecondaryStats { reason, ..second })
        }
        FromCapture::Failed { kind, message } => FromCapture::Failed { kind, message: stabilize(&message) },
        other @ (FromCapture::Hello { .. }
        | FromCapture::Applied(_)
        | FromCapture::Camera { .. }
        | FromCapture::Live {}
        | FromCapture::DestinationRefused { .. }
        | FromCapture::DeviceRecovered { .. }
        | FromCapture::Stats(_)
        | FromCapture::ProbeFinished(_)) => other,
    }
}

/// `text` on one line, without memory addresses, times, counters in names, and ports and numbers that the system chose.
/// Paths stay, and so does the server's own `host:port` in front.
pub(crate) fn stabilize(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let word = |(place, word): (usize, &&str)| match place {
        0 if is_server(word) => (*word).to_owned(),
        _ => stabilize_word(word),
    };
    words.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
}

/// Whether it is the `host:port:` that a reason starts with.
fn is_server(word: &str) -> bool {
    let port = word.strip_suffix(':').and_then(|word| word.rsplit_once(':'));
    port.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn stabilize_word(word: &str) -> String {
    let mut out = String::new();
    let mut rest = word;
    let path = word.trim_start_matches(['(', '"', '\'']).starts_with('/');
    while let Some(letter) = rest.chars().next() {
        let is_start = !out.chars().next_back().is_some_and(char::is_alphanumeric);
        let digits = rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        if let Some(end) = address(rest).filter(|_| is_start).or_else(|| time(rest).filter(|_| is_start)) {
            out.push('…');
            rest = &rest[end..];
        } else if digits > 0 {
            let counts = digits >= MIN_COUNTER_DIGITS || out.ends_with(['#', '@']);
            let named = ELEMENT_NAME_ENDS.iter().any(|ending| out.ends_with(ending));
            if path || !(counts || named) {
                out.push_str(&rest[..digits]);
            } else if !named {
                out.push('…');
            }
            rest = &rest[digits..];
        } else {
            out.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    out
}

/// The length of the memory address that `text` starts with: `0x` and at least four digits.
fn address(text: &str) -> Option<usize> {
    let digits = text.strip_prefix("0x")?;
    let length = digits.len() - digits.trim_start_matches(|letter: char| letter.is_ascii_hexdigit()).len();
    (length >= 4).then_some(length + 2)
}

/// The length of the time that `text` starts with: `0:00:01.234567890`, `12:34:56`.
fn time(text: &str) -> Option<usize> {
    let length = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ':').len();
    let parts: Vec<&str> = text[..length].split(':').collect();
    let clock = matches!(parts.as_slice(), [hours, minutes, seconds]
        if (1..=2).contains(&hours.len()) && minutes.len() == 2 && seconds.len() == 2);
    let fraction = text[length..].strip_prefix('.').map_or(0, |fraction| {
        1 + fraction.len() - fraction.trim_start_matches(|letter: char| letter.is_ascii_digit()).len()
    });
    clock.then_some(length + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{CaptureDevice, FailureKind};

    #[test]
    fn only_what_differs_at_each_try_is_removed() {
        for (text, stable) in [
            ("it failed at PointerOffset(0x7ffe1234abcd)", "it failed at PointerOffset(…)"),
            ("cannot open 0x1234 and 0xff", "cannot open … and 0xff"),
            ("socket 573921034 is closed", "socket … is closed"),
            ("127.0.0.1:49152 to 10.0.0.7:52113 broke", "127.0.0.1:… to 10.0.0.7:… broke"),
            ("push.example.cn:19350: from 10.0.0.7:52113", "push.example.cn:19350: from 10.0.0.7:…"),
            ("[::1]:40000: connection refused", "[::1]:40000: connection refused"),
            ("pad multiqueue3:src_0 of v4l2src0", "pad multiqueue:src_0 of v4l2src"),
            ("at 0:00:01.234567890, 12:34:56 UTC", "at …, … UTC"),
            ("thread #17 of object@8", "thread #… of object@…"),
            ("one line\nand\tanother  one", "one line and another one"),
            // What somebody configured, and what is always the same.
            ("the camera /dev/video10 (1280x720 at 30/s)", "the camera /dev/video10 (1280x720 at 30/s)"),
            ("/media/IMG_20260101.mp4 cannot be played", "/media/IMG_20260101.mp4 cannot be played"),
            ("x264enc, openh264enc: H.264 at 2500 kbit/s", "x264enc, openh264enc: H.264 at 2500 kbit/s"),
            ("HTTP 404 (os error 111), RFC 8305", "HTTP 404 (os error 111), RFC 8305"),
            ("…", "…"),
        ] {
            assert_eq!(stabilize(text), stable);
            assert_eq!(stabilize(stable), stable, "twice");
        }
    }

    #[test]
    fn the_text_of_every_event_is_stabilized() {
        let text = || "it broke at 0x7f0012345678".to_owned();
        for message in [
            FromCapture::Encoder { name: "x264enc".to_owned(), why: text() },
            FromCapture::EncoderFallback { from: "a".to_owned(), to: "b".to_owned(), why: text() },
            FromCapture::Reconnecting { reason: text() },
            FromCapture::DeviceLost { device: CaptureDevice::Camera, why: text() },
            FromCapture::Secondary(SecondaryStats { reason: Some(text()), ..SecondaryStats::default() }),
            FromCapture::Failed { kind: FailureKind::Source, message: text() },
        ] {
            let json = serde_json::to_string(&stabilize_message(message)).unwrap();
            assert!(json.contains("it broke at …") && !json.contains("0x7f"), "{json}");
        }
    }
}
