//! Media files that are not as hoped: what they lack is said of the file, and what they are is on the stream.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ingest::{Nginx, packets, streams};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;

/// A file that ffmpeg makes.
fn made(dir: &Path, name: &str, arguments: &str) -> PathBuf {
    let file = dir.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error"]).args(arguments.split_whitespace()).arg("-y").arg(&file);
    assert!(command.status().unwrap().success(), "{arguments}");
    file
}

const PICTURE: &str = "-f lavfi -i testsrc=size=320x180:rate=25:duration=3";
const TONE: &str = "-f lavfi -i sine=duration=3";

fn video(file: &Path) -> String {
    format!(
        "source = \"file\"\ndevice = \"{}\"\nwidth = 320\nheight = 180\nbitrate-kbps = 400\nadaptive = false\n",
        file.display()
    )
}

fn audio(file: &Path) -> String {
    format!("source = \"file\"\ndevice = \"{}\"\n", file.display())
}

#[test]
fn what_a_file_lacks_is_said_of_the_file_and_not_of_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let sound = made(dir, "sound.m4a", TONE);
    let picture = made(dir, "picture.mp4", &format!("{PICTURE} -c:v libx264"));
    let empty = dir.join("empty.mp4");
    std::fs::write(&empty, "").unwrap();
    let text = dir.join("text.mp4");
    std::fs::write(&text, "no media at all\n".repeat(100)).unwrap();
    let none = "source = \"none\"\n".to_owned();
    for (video, audio, said) in [
        (video(&sound), none.clone(), format!("{} has no picture in it: ", sound.display())),
        (video(&sound), audio(&sound), format!("{} has no picture in it: ", sound.display())),
        (video(&picture), audio(&picture), format!("{} has no sound in it: ", picture.display())),
        (video(&empty), none.clone(), empty.display().to_string()),
        (video(&text), none.clone(), text.display().to_string()),
    ] {
        let nginx = Nginx::new();
        let shop = TestBox::new(&BoxConfig { ingest: nginx.url(), video, audio, ..BoxConfig::default() });
        let mut guard = shop.start("guard");
        shop.press();
        let told = || shop.status().is_some_and(|status| status["phase"] == "idle" && status["message"].is_string());
        wait_until("it is told", told);
        let message = shop.status().unwrap()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(&said) && !message.contains("server"), "{said}: {message}");
        guard.finish();
    }
}

/// An MP4 whose track says that its pictures are shown turned by a quarter: the matrix in its header (ISO/IEC 14496-12,
/// 8.3.2), which stands 40 bytes behind the header's name. ffmpeg's option for it came with version 6.
fn turned_clockwise(mut mp4: Vec<u8>) -> Vec<u8> {
    let name = mp4.windows(4).position(|four| four == b"tkhd").unwrap();
    let matrix = [0, 1 << 16, 0, -(1 << 16), 0, 0, 180 << 16, 0, 1 << 30];
    for (place, value) in matrix.into_iter().map(i32::to_be_bytes).enumerate() {
        mp4[name + 44 + place * 4..][..4].copy_from_slice(&value);
    }
    mp4
}

/// Brightness of four points of the first picture: upper left, upper right, lower left, lower right.
fn quarters(file: &Path) -> [u8; 4] {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(file).args(["-frames:v", "1", "-pix_fmt", "gray", "-f", "rawvideo", "-"]);
    let picture = command.output().unwrap().stdout;
    assert_eq!(picture.len(), 320 * 180);
    [(130, 45), (190, 45), (130, 135), (190, 135)].map(|(x, y)| picture[y * 320 + x])
}

/// A phone held upright records lying pictures, and says in a tag that they are to be turned.
#[test]
fn a_phones_clip_stands_upright_and_masks_cover_what_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // The upper half is white as the phone was held: the left one as it was recorded.
    let lying = "-f lavfi -i color=black:size=320x180:rate=25:duration=3,drawbox=w=160:h=180:color=white:t=fill";
    let lying = made(dir, "lying.mp4", &format!("{lying} -c:v libx264 -pix_fmt yuv420p"));
    let upright = dir.join("upright.mp4");
    std::fs::write(&upright, turned_clockwise(std::fs::read(&lying).unwrap())).unwrap();
    // Covers the upper left quarter of what is seen.
    let mask = "[[privacy-mask]]\nx = 0\ny = 0\nwidth = 160\nheight = 90\n";
    for (more, seen) in [("", [true, true, false, false]), (mask, [false, true, false, false])] {
        let nginx = Nginx::new();
        let plan = BoxConfig {
            ingest: nginx.url(),
            video: video(&upright),
            audio: "source = \"none\"\n".to_owned(),
            more: more.to_owned(),
            ..BoxConfig::default()
        };
        let shop = TestBox::new(&plan);
        let mut guard = shop.start("guard");
        shop.press();
        shop.wait_for_phase("live");
        wait_until("pictures arrive", || nginx.recordings().first().is_some_and(|file| packets(file, "v").len() > 60));
        shop.press();
        shop.wait_for_phase("idle");
        guard.finish();
        let found = quarters(&nginx.recordings()[0]).map(|value| value > 128);
        assert_eq!(found, seen, "{more}: {:?}", quarters(&nginx.recordings()[0]));
    }
}

/// Rates that change, sizes that are odd, other codecs, a single picture: each plays, over and over, at the configured
/// rate.
#[test]
fn files_of_all_sorts_play_at_the_configured_rate() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let odd = "-f lavfi -i testsrc=size=317x175:rate=25:duration=3 -c:v libx264 -pix_fmt yuv444p";
    let jumpy = "-f lavfi -i testsrc=size=320x180:rate=25:duration=3 -vf select='not(mod(n\\,7))+lt(n\\,20)' \
                 -fps_mode vfr -c:v libx264";
    for (name, arguments) in [
        ("odd.mp4", odd.to_owned()),
        ("jumpy.mp4", jumpy.to_owned()),
        ("hevc.mp4", format!("{PICTURE} -c:v libx265 -x265-params log-level=error -pix_fmt yuv420p")),
        ("vp9.webm", format!("{PICTURE} -c:v libvpx-vp9 -cpu-used 8 -deadline realtime")),
        ("short.mp4", "-f lavfi -i testsrc=size=320x180:rate=25 -frames:v 1 -c:v libx264".to_owned()),
    ] {
        let file = made(dir, name, &arguments);
        let nginx = Nginx::new();
        let none = "source = \"none\"\n".to_owned();
        let shop =
            TestBox::new(&BoxConfig { ingest: nginx.url(), video: video(&file), audio: none, ..BoxConfig::default() });
        let mut guard = shop.start("guard");
        shop.press();
        shop.wait_for_phase("live");
        // Longer than the file.
        wait_until(&format!("{name} arrives"), || {
            nginx.recordings().first().is_some_and(|file| packets(file, "v").len() > 150)
        });
        shop.press();
        shop.wait_for_phase("idle");
        guard.finish();
        let pictures = packets(&nginx.recordings()[0], "v");
        let span = pictures[pictures.len() - 1].pts - pictures[0].pts;
        #[allow(clippy::cast_precision_loss)] // some hundred
        let rate = (pictures.len() - 1) as f64 / span;
        assert!((rate - 30.0).abs() < 1.0, "{name}: {rate} pictures a second");
        assert_eq!(streams(&nginx.recordings()[0]).trim(), "h264,320,180", "{name}");
    }
}
