//! What commands set for the sessions to come: over the files, within the same bounds, until the guard restarts.

use std::fmt::Write as _;
use std::path::Path;

use super::document::SourceFile;
use super::{Config, ConfigError, Video, load};
use crate::ipc::{SessionValues, SetIngest, SetVideo};

/// What `commands` is called in messages about it.
const NAME: &str = "commands";
/// Shorter parts of an address are no secret worth hiding, and words of our own sentences may have them in them.
const MIN_SECRET: usize = 4;

impl Config {
    /// This configuration with what commands set. Guard and capture come to the same one.
    ///
    /// # Errors
    /// What cannot be used of it, with what to do, and without any secret of it.
    pub fn with_session_values(&self, values: &SessionValues) -> Result<Self, String> {
        let SessionValues { video, ingest } = values;
        if *video == SetVideo::default() && ingest.is_none() {
            return Ok(self.clone());
        }
        if let Some(ingest) = ingest
            && texts(ingest).any(|text| text.contains("${"))
        {
            return Err(
                "${NAME} stands for a secret of the box's own, which no command may use: send the value".to_owned()
            );
        }
        let text = document(self, video, ingest.as_deref());
        let file = SourceFile::new(Path::new(NAME).to_owned(), text);
        let read = load::check(Path::new(NAME), &[file]).map_err(|error| told(&error, ingest.as_deref()))?;
        let mut wanted = self.clone();
        let Video { width, height, fps, bitrate_kbps, .. } = read.video;
        wanted.video = Video { width, height, fps, bitrate_kbps, ..wanted.video };
        if ingest.is_some() {
            let mut first = read.ingest.first;
            if first.host == self.ingest.first.host {
                // Whose certificates count there is the integrator's word.
                first.ca_file.clone_from(&self.ingest.first.ca_file);
            }
            if !self.privacy.allowed_ingest_hosts.iter().any(|pattern| pattern.allows(&first.host)) {
                return Err(format!("{} is not one of [privacy] allowed-ingest-hosts", first.host));
            }
            wanted.ingest.first = first;
        }
        Ok(wanted)
    }
}

/// A file that says the same: bounds and contradictions are judged in one place.
fn document(config: &Config, wanted: &SetVideo, ingest: Option<&SetIngest>) -> String {
    let Video { width, height, fps, bitrate_kbps, min_bitrate_kbps, .. } = config.video;
    let (width, height) = (wanted.width.unwrap_or(width), wanted.height.unwrap_or(height));
    let (fps, bitrate) = (wanted.fps.unwrap_or(fps), wanted.bitrate_kbps.unwrap_or(bitrate_kbps));
    let mut text = format!(
        "[video]\nsource = \"test\"\nwidth = {width}\nheight = {height}\nfps = {fps}\nbitrate-kbps = {bitrate}\n\
         min-bitrate-kbps = {min_bitrate_kbps}\n[audio]\nsource = \"none\"\n[device]\nid = \"box\"\n[panel]\nbackend = \"sim\"\n"
    );
    for mask in &config.masks {
        let (x, y, width, height) = (mask.x, mask.y, mask.width, mask.height);
        let _ = write!(text, "[[privacy-mask]]\nx = {x}\ny = {y}\nwidth = {width}\nheight = {height}\n");
    }
    let harmless = SetIngest::of("rtmp://localhost/live/key");
    let SetIngest { url, stream_key, passphrase, streamid, token } = ingest.unwrap_or(&harmless);
    let keys = [("stream-key", stream_key), ("passphrase", passphrase), ("streamid", streamid), ("token", token)];
    let keys = keys.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
    text.push_str("[ingest]\n");
    for (key, value) in std::iter::once(("url", url)).chain(keys) {
        let _ = writeln!(text, "{key} = {}", toml::Value::from(value.as_str()));
    }
    text
}

fn texts(ingest: &SetIngest) -> impl Iterator<Item = &str> {
    let SetIngest { url, stream_key, passphrase, streamid, token } = ingest;
    let keys = [stream_key, passphrase, streamid, token].into_iter().filter_map(Option::as_deref);
    std::iter::once(url.as_str()).chain(keys)
}

/// The first mistake, without anything that could be a secret: a URL may have the key in it.
fn told(error: &ConfigError, ingest: Option<&SetIngest>) -> String {
    let Some(first) = error.diagnostics.first() else { return "it cannot be used".to_owned() };
    let mut text =
        if first.help.is_empty() { first.message.clone() } else { format!("{}; {}", first.message, first.help) };
    let Some(ingest) = ingest else { return text };
    let mut secrets: Vec<&str> = texts(ingest).skip(1).collect();
    let behind_host = ingest.url.split_once("://").map_or(ingest.url.as_str(), |(_, rest)| rest);
    secrets.push(&ingest.url);
    secrets.push(behind_host);
    secrets.extend(behind_host.split(['/', '?', '&', '=', '@', ':', '#']).skip(1));
    secrets.retain(|secret| secret.len() >= MIN_SECRET);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in secrets {
        text = text.replace(secret, "…");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{IngestScheme, example};

    fn video(bitrate_kbps: Option<u32>, width: Option<u32>, height: Option<u32>, fps: Option<u32>) -> SessionValues {
        SessionValues { video: SetVideo { bitrate_kbps, width, height, fps }, ingest: None }
    }

    fn ingest(ingest: SetIngest) -> SessionValues {
        SessionValues { video: SetVideo::default(), ingest: Some(Box::new(ingest)) }
    }

    #[test]
    fn bounds_are_those_of_the_files() {
        let config = example("");
        let set = config.with_session_values(&video(Some(900), Some(640), Some(360), Some(15))).unwrap();
        assert_eq!((set.video.bitrate_kbps, set.video.width, set.video.height, set.video.fps), (900, 640, 360, 15));
        assert_eq!(set.hash, config.hash, "it is the same configuration: what is over it is told apart from it");
        for (values, told) in [
            (video(Some(99), None, None, None), "bitrate-kbps"),
            (video(Some(20_001), None, None, None), "bitrate-kbps"),
            (video(Some(config.video.min_bitrate_kbps - 1), None, None, None), "bitrate"),
            (video(None, Some(641), None, None), "width"),
            (video(None, None, Some(5000), None), "height"),
            (video(None, None, None, Some(0)), "fps"),
        ] {
            let error = config.with_session_values(&values).unwrap_err();
            assert!(error.contains(told), "{values:?}: {error}");
        }
    }

    #[test]
    fn an_address_stays_within_the_list_and_brings_all_its_keys() {
        let config = example("[privacy]\nallowed-ingest-hosts = [\"127.0.0.1\", \"*.example.cn\"]\n");
        let wanted =
            SetIngest { passphrase: Some("0123456789".to_owned()), ..SetIngest::of("srt://b.example.cn:9000") };
        let set = config.with_session_values(&ingest(wanted)).unwrap();
        assert_eq!((set.ingest.first.host.as_str(), set.ingest.first.scheme()), ("b.example.cn", IngestScheme::Srt));
        let error = config.with_session_values(&ingest(SetIngest::of("rtmps://evil.example.com/live/k"))).unwrap_err();
        assert!(error.contains("evil.example.com is not one of"), "{error}");
        let own =
            SetIngest { stream_key: Some("${STREAM_KEY}".to_owned()), ..SetIngest::of("rtmps://a.example.cn/live") };
        assert!(config.with_session_values(&ingest(own)).unwrap_err().contains("no command may use"));
        let odd = SetIngest { token: Some("t".to_owned()), ..SetIngest::of("rtmps://a.example.cn/live/k") };
        assert!(config.with_session_values(&ingest(odd)).unwrap_err().contains("token"));
    }

    proptest! {
        #[test]
        fn no_mistake_repeats_a_secret(scheme in "(rtmps?|srt|https?|ftp|x y)", secret in "[a-z0-9%${}\u{7}\"]{6,20}", shape in 0..6_u8) {
            let config = example("");
            let host = "a.example.cn";
            let wanted = match shape {
                0 => SetIngest::of(&format!("{scheme}://{host}/live/{secret}")),
                1 => SetIngest::of(&format!("{scheme}://user:{secret}@{host}/live")),
                2 => SetIngest::of(&format!("{scheme}://{host}:{secret}/live")),
                3 => SetIngest { stream_key: Some(secret.clone()), ..SetIngest::of(&format!("{scheme}://{host}/live/k")) },
                4 => SetIngest { passphrase: Some(secret.clone()), ..SetIngest::of(&format!("{scheme}://{host}:9000")) },
                _ => SetIngest { token: Some(secret.clone()), ..SetIngest::of(&format!("{scheme}://{host}?streamid={secret}")) },
            };
            if let Err(error) = config.with_session_values(&ingest(wanted)) {
                prop_assert!(!error.contains(&secret), "{}", error);
            }
        }
    }
}
