//! H.264 levels: table A-1 of ITU-T H.264 (Annex A.3), and which level a picture needs.

/// A row of the table, with the standard's names for its columns.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) name: &'static str,
    /// Macroblocks per second.
    max_mbps: u32,
    /// Macroblocks per frame.
    max_fs: u32,
    /// In kbit/s, for the baseline and main profiles.
    max_br: u32,
}

/// Level 4, where the encoder of the Raspberry Pi ends.
pub(crate) const LEVEL_4: Level = level("4", 245_760, 8_192, 20_000);

const LEVELS: [Level; 17] = [
    level("1", 1_485, 99, 64),
    level("1b", 1_485, 99, 128),
    level("1.1", 3_000, 396, 192),
    level("1.2", 6_000, 396, 384),
    level("1.3", 11_880, 396, 768),
    level("2", 11_880, 396, 2_000),
    level("2.1", 19_800, 792, 4_000),
    level("2.2", 20_250, 1_620, 4_000),
    level("3", 40_500, 1_620, 10_000),
    level("3.1", 108_000, 3_600, 14_000),
    level("3.2", 216_000, 5_120, 20_000),
    LEVEL_4,
    level("4.1", 245_760, 8_192, 50_000),
    level("4.2", 522_240, 8_704, 50_000),
    level("5", 589_824, 22_080, 135_000),
    level("5.1", 983_040, 36_864, 240_000),
    level("5.2", 2_073_600, 36_864, 240_000),
];

const fn level(name: &'static str, max_mbps: u32, max_fs: u32, max_br: u32) -> Level {
    Level { name, max_mbps, max_fs, max_br }
}

impl Level {
    /// Whether it allows `width` x `height` pixels, `fps` times a second.
    pub(crate) fn allows(&self, width: u32, height: u32, fps: u32) -> bool {
        let frame = macroblocks(width, height);
        // Neither side may be longer than the square root of eight times the largest frame.
        let longest = width.max(height).div_ceil(MACROBLOCK);
        frame <= self.max_fs && longest * longest <= 8 * self.max_fs && frame * fps <= self.max_mbps
    }

    /// Its highest bitrate in main profile, in kbit/s.
    pub(crate) fn max_kbps(&self) -> u32 {
        self.max_br
    }

    /// The number that stands for it in a stream (`level_idc`): ten times its name. `None` for 1b, which a flag marks.
    pub(crate) fn idc(&self) -> Option<u32> {
        let (whole, tenths) = self.name.split_once('.').unwrap_or((self.name, "0"));
        Some(whole.parse::<u32>().ok()? * 10 + tenths.parse::<u32>().ok()?)
    }
}

/// Pixels along each side of a macroblock.
const MACROBLOCK: u32 = 16;

/// Macroblocks of a picture.
pub(crate) fn macroblocks(width: u32, height: u32) -> u32 {
    width.div_ceil(MACROBLOCK) * height.div_ceil(MACROBLOCK)
}

/// The levels that allow `width` x `height` pixels, `fps` times a second, at `kbps` in main profile; the lowest first.
pub(crate) fn levels(width: u32, height: u32, fps: u32, kbps: u32) -> impl Iterator<Item = &'static Level> {
    LEVELS.iter().filter(move |level| level.allows(width, height, fps) && kbps <= level.max_br)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(width: u32, height: u32, fps: u32, kbps: u32) -> Vec<&'static str> {
        levels(width, height, fps, kbps).map(|level| level.name).collect()
    }

    #[test]
    fn the_first_level_is_the_lowest_that_allows_the_picture() {
        for ((width, height, fps, kbps), lowest) in [
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
            assert_eq!(names(width, height, fps, kbps).first(), Some(&lowest), "{width}x{height} {fps} {kbps}");
        }
    }

    #[test]
    fn higher_levels_follow() {
        assert_eq!(names(1920, 1080, 60, 12_000), ["4.2", "5", "5.1", "5.2"]);
    }

    #[test]
    fn no_level_allows_8k() {
        assert_eq!(names(7680, 4320, 30, 20_000), [""; 0]);
    }

    #[test]
    fn every_level_but_1b_has_its_number() {
        let all: Vec<_> = LEVELS.iter().filter_map(Level::idc).collect();
        assert_eq!(all, [10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52]);
    }
}
