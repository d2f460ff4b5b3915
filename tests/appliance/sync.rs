//! Sound and picture belong together: measured with a file that flashes and beeps once a second.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::ingest::ffmpeg_listener;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{free_port, wait_until};

fn ffmpeg(arguments: &[&str], file: &Path, before: bool) -> String {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostats", "-y"]);
    if before {
        command.arg("-i").arg(file).args(arguments);
    } else {
        command.args(arguments).arg(file);
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn times(log: &str, word: &str) -> Vec<f64> {
    log.split(word).skip(1).filter_map(|rest| rest.split_whitespace().next()?.parse().ok()).collect()
}

#[test]
fn flash_and_beep_stay_within_40_ms_over_several_loops() {
    let port = free_port();
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("flash.mp4");
    // White for a tenth of a second once a second, and a beep with it; five seconds, then again.
    let flash = "color=black:s=320x180:r=30:d=5,drawbox=c=white:t=fill:enable='lt(mod(t,1),0.1)'";
    let beep = "aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.1)':s=48000:d=5";
    let made = [
        "-f", "lavfi", "-i", flash, "-f", "lavfi", "-i", beep, "-c:v", "libx264", "-g", "30", "-pix_fmt", "yuv420p",
        "-c:a", "aac",
    ];
    ffmpeg(&made, &source, false);
    let device = source.display();
    let shop = TestBox::new(&BoxConfig {
        ingest: format!("rtmp://127.0.0.1:{port}/live/key-of-the-stream"),
        video: format!("source = \"file\"\ndevice = \"{device}\"\nwidth = 320\nheight = 180\nbitrate-kbps = 400\n"),
        audio: format!("source = \"file\"\ndevice = \"{device}\"\n"),
        ..BoxConfig::default()
    });
    let _guard = shop.start("guard");
    let file = dir.path().join("out.flv");
    let mut listener = ffmpeg_listener(port, &file);
    shop.press();
    shop.wait_for_phase("live");
    let seconds = || {
        let status = shop.status().unwrap();
        let since: jiff::Timestamp = status["since"].as_str().unwrap().parse().unwrap();
        jiff::Timestamp::now().duration_since(since).as_secs()
    };
    wait_until("three loops have passed", || seconds() >= 17);
    shop.press();
    shop.wait_for_phase("idle");
    wait_until("the listener ends", || !listener.is_running());
    let flashes =
        times(&ffmpeg(&["-an", "-vf", "blackdetect=d=0.2:pix_th=0.5", "-f", "null", "-"], &file, true), "black_end:");
    let beeps =
        times(&ffmpeg(&["-vn", "-af", "silencedetect=n=-30dB:d=0.2", "-f", "null", "-"], &file, true), "silence_end: ");
    let pairs: Vec<f64> = flashes
        .iter()
        .filter_map(|flash| beeps.iter().map(|beep| beep - flash).min_by(|a, b| a.abs().total_cmp(&b.abs())))
        .collect();
    assert!(pairs.len() >= 12, "flashes {flashes:?}\nbeeps {beeps:?}");
    // The very last flash may be cut off with the stream.
    let worst = pairs[..pairs.len() - 1].iter().fold(0.0f64, |worst, gap| worst.max(gap.abs()));
    println!("sound against picture: {pairs:?}, worst {:.0} ms", worst * 1000.0);
    assert!(worst < 0.040, "{pairs:?}");
}
