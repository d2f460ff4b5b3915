//! The picture in the terminal: what the box does, and a plot for each figure, a column a second. Pure.

use core::fmt::Write;

use super::series::{Metric, Series};
use crate::ipc::{Status, StreamStats};

/// From empty to full, in blocks or, where the terminal may not have them, in letters.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const LETTERS: [char; 9] = [' ', '.', '.', ':', ':', '-', '=', '+', '#'];
/// Name, value and unit stand to the left of each plot.
const LEFT: usize = 26;
/// Lines that are no plots: at most three of state, one free, and the one at the end.
const AROUND: usize = 5;
/// Sound is drawn from here, in dB relative to full scale: what is softer is silence on a shop floor.
const FLOOR_DB: f64 = -60.0;

/// The terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Whether it has block characters.
    pub(super) blocks: bool,
}

/// Draws it all: lines of at most the screen's width, none of them ended.
pub(super) fn draw(series: &Series, screen: Screen) -> Vec<String> {
    let mut lines = match &series.status {
        None => vec!["asking the guard".to_owned()],
        Some(Err(why)) => vec![format!("no answer: {why}"), "trying again each second".to_owned()],
        Some(Ok(status)) => head(status),
    };
    lines.truncate(AROUND - 2);
    lines.push(String::new());
    let height = (screen.rows.saturating_sub(AROUND) / Metric::ALL.len()).clamp(1, 4);
    let width = screen.columns.saturating_sub(LEFT + 1).max(1);
    let muted = matches!(&series.status, Some(Ok(status)) if status.muted);
    for figure in Metric::ALL {
        let values = series.last(figure, width);
        let (low, high) = scale(figure, &values, series);
        let stats = series.now();
        for (row, plotted) in plot(&values, low, high, height, screen.blocks).into_iter().enumerate() {
            let left = match row {
                0 => label(figure, stats, muted),
                1 => secondary_label(figure, stats),
                2 => format!("{:>17} at top", number(high)),
                _ => String::new(),
            };
            // New values come in on the right.
            lines.push(format!("{left:<LEFT$}{plotted:>width$}"));
        }
    }
    lines.push(format!("{:<LEFT$}{:>width$}", "Ctrl-C ends", format!("{width} s ago to now")));
    lines.truncate(screen.rows.saturating_sub(1));
    lines.into_iter().map(|line| line.chars().take(screen.columns).collect()).collect()
}

fn head(status: &Status) -> Vec<String> {
    let mut first = format!("{} since {:.0}  lamp {}", status.phase.as_str(), status.since, status.lamp.as_str());
    if let Some(session) = status.session {
        let sound = if status.muted { "muted" } else { "on" };
        let _ = write!(first, "  session {session}  sound {sound}");
    }
    let why = status.message.as_ref().or(status.reason.as_ref());
    let mut second = status.reason.clone().unwrap_or_default();
    if let Some(why) = why.filter(|why| **why != second) {
        let _ = write!(second, "{}{why}", if second.is_empty() { "" } else { ": " });
    }
    vec![first, second, status.encoder.clone().unwrap_or_default()]
        .into_iter()
        .filter(|line| !line.is_empty())
        .collect()
}

/// What the plot's bottom and top stand for.
fn scale(figure: Metric, values: &[Option<f64>], series: &Series) -> (f64, f64) {
    let highest = values.iter().flatten().copied().fold(0.0, f64::max);
    match figure {
        // Bitrate and what is asked for are held against each other: one scale for both.
        Metric::Bitrate | Metric::Target => {
            let of = |figure| series.last(figure, values.len()).into_iter().flatten().fold(0.0, f64::max);
            (0.0, f64::max(of(Metric::Bitrate), of(Metric::Target)).max(100.0))
        }
        Metric::Frames => (0.0, highest.max(1.0)),
        Metric::Queue | Metric::RoundTrip => (0.0, highest.max(100.0)),
        Metric::Level => (FLOOR_DB, 0.0),
    }
}

fn label(figure: Metric, stats: Option<&StreamStats>, muted: bool) -> String {
    let (name, unit) = match figure {
        Metric::Bitrate => ("bitrate", "kbit/s"),
        Metric::Target => ("target", "kbit/s"),
        Metric::Frames => ("frames", "fps"),
        Metric::Queue => ("queue", "ms"),
        Metric::RoundTrip => ("round trip", "ms"),
        Metric::Level => ("level", "dB"),
    };
    let value = stats.and_then(|stats| figure.of(stats));
    match value {
        Some(value) => format!("{name:<10}{:>7} {unit}", number(value)),
        None if figure == Metric::Level && stats.is_some() && muted => format!("{name:<10}{:>7}", "muted"),
        None => format!("{name:<10}{:>7}", "-"),
    }
}

/// What else is worth a line beside the plot, if it has more than one.
fn secondary_label(figure: Metric, stats: Option<&StreamStats>) -> String {
    let Some(stats) = stats else { return String::new() };
    match figure {
        Metric::Target if stats.height > 0 => format!("{:>17}", format!("{}p", stats.height)),
        Metric::Frames => format!("{:>17} dropped", stats.dropped_frames),
        Metric::RoundTrip => format!("{:>17} reconn.", stats.reconnects),
        Metric::Bitrate | Metric::Target | Metric::Queue | Metric::Level => String::new(),
    }
}

fn number(value: f64) -> String {
    if value.abs() < 100.0 && value.fract().abs() > 0.05 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Rows of a plot, the top one first. A value at the bottom still shows: it is there.
fn plot(values: &[Option<f64>], low: f64, high: f64, height: usize, blocks: bool) -> Vec<String> {
    let signs = if blocks { BLOCKS } else { LETTERS };
    let steps = signs.len() - 1;
    let full = height * steps;
    // Between nothing and `full`, some tens.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let level = |value: f64| ((((value - low) / (high - low)).clamp(0.0, 1.0) * full as f64).round() as usize).max(1);
    let sign = |value: f64, below: usize| signs[level(value).saturating_sub(below).min(steps)];
    let row = |below: usize| values.iter().map(|value| value.map_or(' ', |value| sign(value, below))).collect();
    (0..height).rev().map(|row_from_bottom| row(row_from_bottom * steps)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::series::tests::status;
    use super::*;

    fn series() -> Series {
        let mut series = Series::default();
        for second in 0..5_u16 {
            let stats = StreamStats {
                fps: 30.0 - f32::from(second),
                bitrate_kbps: 500 * u32::from(second),
                target_kbps: 2000,
                height: 720,
                queue_ms: 7,
                level_db: Some(-21.5),
                dropped_frames: 3,
                ..StreamStats::default()
            };
            series.update(status(Some(stats)));
            series.tick();
        }
        series
    }

    fn line<'a>(lines: &'a [String], name: &str) -> &'a str {
        lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {lines:#?}"))
    }

    #[test]
    fn each_figure_has_its_value_and_its_plot() {
        let screen = Screen { columns: 40, rows: 12, blocks: true };
        let lines = draw(&series(), screen);
        assert!(lines[0].starts_with("live since 1970-01-01T00:00:00Z"), "{lines:#?}");
        assert_eq!(line(&lines, "bitrate"), "bitrate      2000 kbit/s          ▁▂▄▆█");
        assert_eq!(line(&lines, "target"), "target       2000 kbit/s          █████");
        assert_eq!(line(&lines, "frames"), "frames         26 fps             ██▇▇▇");
        assert_eq!(line(&lines, "queue"), "queue           7 ms              ▁▁▁▁▁");
        assert!(line(&lines, "round trip").trim_end().ends_with('-'));
        assert_eq!(line(&lines, "level"), "level       -21.5 dB              ▅▅▅▅▅");
    }

    #[test]
    fn a_taller_terminal_has_taller_plots() {
        let lines = draw(&series(), Screen { columns: 60, rows: 24, blocks: false });
        assert!(lines.len() <= 23 && lines.iter().all(|line| line.chars().count() <= 60), "{lines:#?}");
        let at = lines.iter().position(|line| line.starts_with("bitrate")).unwrap();
        let drawn: Vec<&str> = lines[at..at + 3].iter().map(|line| line[LEFT..].trim_start()).collect();
        assert_eq!(drawn, [".#", ":##", ".=###"], "{lines:#?}");
        assert!(lines[at + 2].contains("2000 at top"));
        assert!(lines.iter().any(|line| line.contains("720p")) && lines.iter().any(|line| line.contains("3 dropped")));
    }

    #[test]
    fn a_screen_of_any_size_holds_it() {
        for (columns, rows) in [(1, 1), (0, 0), (20, 5), (500, 200)] {
            let lines = draw(&series(), Screen { columns, rows, blocks: true });
            assert!(lines.len() <= rows && lines.iter().all(|line| line.chars().count() <= columns));
        }
    }

    #[test]
    fn why_is_said() {
        let mut series = Series::default();
        let screen = Screen { columns: 80, rows: 24, blocks: true };
        let mut lost = status(Some(StreamStats::default()));
        lost.reason = Some("camera-lost".to_owned());
        lost.message = Some("/dev/video0 is gone".to_owned());
        series.update(lost);
        assert!(draw(&series, screen)[1].starts_with("camera-lost: /dev/video0 is gone"));
        series.disconnected("no guard answers".to_owned());
        assert!(draw(&series, screen)[0].contains("no guard answers"));
    }
}
