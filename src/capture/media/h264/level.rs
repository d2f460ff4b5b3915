//! H.264 levels: which one a picture of a size, rate and bitrate needs, by table A-1 of ITU-T H.264 (Annex A.3).

/// A row of table A-1: name, macroblocks per second, macroblocks per frame, kbit/s of baseline and main profile.
struct Level(&'static str, u32, u32, u32);

const LEVELS: [Level; 17] = [
    Level("1", 1_485, 99, 64),
    Level("1b", 1_485, 99, 128),
    Level("1.1", 3_000, 396, 192),
    Level("1.2", 6_000, 396, 384),
    Level("1.3", 11_880, 396, 768),
    Level("2", 11_880, 396, 2_000),
    Level("2.1", 19_800, 792, 4_000),
    Level("2.2", 20_250, 1_620, 4_000),
    Level("3", 40_500, 1_620, 10_000),
    Level("3.1", 108_000, 3_600, 14_000),
    Level("3.2", 216_000, 5_120, 20_000),
    Level("4", 245_760, 8_192, 20_000),
    Level("4.1", 245_760, 8_192, 50_000),
    Level("4.2", 522_240, 8_704, 50_000),
    Level("5", 589_824, 22_080, 135_000),
    Level("5.1", 983_040, 36_864, 240_000),
    Level("5.2", 2_073_600, 36_864, 240_000),
];

impl Level {
    fn holds(&self, width: u32, height: u32, fps: u32, kbps: u32) -> bool {
        let (across, down) = (width.div_ceil(16), height.div_ceil(16));
        let frame = across * down;
        // Neither side may be longer than the square root of eight times the largest frame.
        let longest = across.max(down);
        frame <= self.2 && longest * longest <= 8 * self.2 && frame * fps <= self.1 && kbps <= self.3
    }
}

/// The levels that hold `width` x `height` pixels, `fps` a second, at `kbps` in main profile; the lowest first.
/// Empty: no level of the table does.
pub(crate) fn levels(width: u32, height: u32, fps: u32, kbps: u32) -> Vec<&'static str> {
    LEVELS.iter().filter(|level| level.holds(width, height, fps, kbps)).map(|level| level.0).collect()
}

/// What streams call a level (`level_idc`): ten times its name. `None`: 1b, which is told by a bit elsewhere.
pub(crate) fn level_idc(level: &str) -> Option<u32> {
    let (whole, tenths) = level.split_once('.').unwrap_or((level, "0"));
    Some(whole.parse::<u32>().ok()? * 10 + tenths.parse::<u32>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::{LEVELS, level_idc, levels};

    #[test]
    fn the_lowest_level_that_holds_the_picture() {
        for ((width, height, fps, kbps), wanted) in [
            ((176, 144, 15, 64), "1"),
            ((176, 144, 15, 100), "1b"),
            ((320, 180, 30, 400), "1.3"),
            ((352, 288, 30, 768), "1.3"),
            ((640, 360, 30, 1_000), "3"),
            ((640, 480, 30, 2_500), "3"),
            ((720, 576, 25, 2_500), "3"),
            ((1280, 720, 30, 2_500), "3.1"),
            ((1280, 720, 30, 14_001), "3.2"),
            ((1280, 720, 60, 2_500), "3.2"),
            ((1920, 1080, 30, 6_000), "4"),
            ((1080, 1920, 30, 6_000), "4"),
            ((1920, 1080, 31, 6_000), "4.2"),
            ((1920, 1080, 60, 12_000), "4.2"),
            ((3840, 2160, 30, 20_000), "5.1"),
            ((3840, 2160, 60, 20_000), "5.2"),
            // A strip: few macroblocks, but longer than level 1 allows (28 macroblocks).
            ((640, 16, 1, 50), "1.1"),
        ] {
            assert_eq!(levels(width, height, fps, kbps).first(), Some(&wanted), "{width}x{height} {fps} {kbps}");
        }
    }

    #[test]
    fn higher_levels_follow_and_nothing_holds_too_much() {
        assert_eq!(levels(1920, 1080, 60, 12_000), ["4.2", "5", "5.1", "5.2"]);
        assert!(levels(7680, 4320, 30, 20_000).is_empty());
    }

    #[test]
    fn a_level_has_its_number() {
        let all: Vec<_> = LEVELS.iter().filter_map(|level| level_idc(level.0)).collect();
        assert_eq!(all, [10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52]);
    }
}
