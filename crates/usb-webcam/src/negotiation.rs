//! Which mode a camera is set to: UVC's probe and commit controls (UVC 1.0, 4.3.1.1).

use crate::model::{Format, Frame, Model};

/// Bytes of a probe in UVC 1.0.
pub(crate) const LENGTH: usize = 26;
/// The most bytes in a packet: three transactions of 1024 bytes in each microframe, the most that USB 2.0 has.
pub(crate) const MAX_PACKET: u32 = 3 * 1024;

/// The mode in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Indices as UVC counts them, from 1.
    format: u8,
    frame: u8,
    /// In units of 100 ns.
    pub(crate) interval: u32,
}

impl Mode {
    /// The first one.
    pub(crate) fn default_of(model: &Model) -> Self {
        Self { format: 1, frame: 1, interval: 0 }.settled(model)
    }

    /// What a camera makes of a probe: of what it does not have it takes what is nearest, and it never refuses.
    pub(crate) fn asked(model: &Model, probe: &[u8]) -> Self {
        let byte = |at: usize| probe.get(at).copied().unwrap_or_default();
        let interval = u32::from_le_bytes([byte(4), byte(5), byte(6), byte(7)]);
        Self { format: byte(2), frame: byte(3), interval }.settled(model)
    }

    fn settled(self, model: &Model) -> Self {
        let nearest = |index: u8, count: usize| index.clamp(1, u8::try_from(count).unwrap_or(u8::MAX).max(1));
        let format = nearest(self.format, model.formats.len());
        let mut mode = Self { format, ..self };
        mode.frame = nearest(self.frame, mode.frames(model).len());
        let intervals = mode.frame(model).map_or(&[][..], |frame| frame.intervals);
        let near = intervals.iter().copied().min_by_key(|known| known.abs_diff(self.interval));
        mode.interval = if self.interval == 0 { intervals.first().copied() } else { near }.unwrap_or(333_333);
        mode
    }

    fn frames(self, model: &Model) -> &'static [Frame] {
        model.formats.get(usize::from(self.format) - 1).map_or(&[], |(_, frames)| frames)
    }

    /// Its size and intervals.
    pub(crate) fn frame(self, model: &Model) -> Option<&'static Frame> {
        self.frames(model).get(usize::from(self.frame) - 1)
    }

    /// What is sent.
    pub(crate) fn format(self, model: &Model) -> Option<Format> {
        model.formats.get(usize::from(self.format) - 1).map(|(format, _)| *format)
    }

    /// As `mjpeg:1280x720@30`.
    pub(crate) fn name(self, model: &Model) -> String {
        let (Some(format), Some(frame)) = (self.format(model), self.frame(model)) else { return "none".to_owned() };
        // Intervals are rounded down: 333333 is meant as 30.
        let tenths = (100_000_000 + u64::from(self.interval) / 2) / u64::from(self.interval.max(1));
        let rate = match (tenths / 10, tenths % 10) {
            (whole, 0) => whole.to_string(),
            (whole, tenth) => format!("{whole}.{tenth}"),
        };
        format!("{}:{}x{}@{rate}", format.name(), frame.width, frame.height)
    }

    /// The answer to a probe.
    pub(crate) fn probe(self, model: &Model) -> [u8; LENGTH] {
        let bytes = self.frame(model).map_or(0, picture_bytes);
        let mut probe = [0; LENGTH];
        probe[2] = self.format;
        probe[3] = self.frame;
        probe[4..8].copy_from_slice(&self.interval.to_le_bytes());
        probe[18..22].copy_from_slice(&bytes.to_le_bytes());
        probe[22..26].copy_from_slice(&MAX_PACKET.to_le_bytes());
        probe
    }
}

/// Of a raw picture; no coded one is larger.
pub(crate) fn picture_bytes(frame: &Frame) -> u32 {
    u32::from(frame.width) * u32::from(frame.height) * 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::model;

    #[test]
    fn a_camera_settles_for_the_nearest_mode() {
        let c920 = model("c920").unwrap();
        let asked = |format: u8, frame: u8, interval: u32| {
            let mut probe = [0; LENGTH];
            (probe[2], probe[3]) = (format, frame);
            probe[4..8].copy_from_slice(&interval.to_le_bytes());
            let mode = Mode::asked(c920, &probe);
            assert_eq!(Mode::asked(c920, &mode.probe(c920)), mode, "what it answered it takes");
            mode.name(c920)
        };
        assert_eq!(asked(3, 4, 333_333), "mjpeg:1280x720@30");
        assert_eq!(asked(3, 4, 400_000), "mjpeg:1280x720@24");
        assert_eq!(asked(1, 4, 333_333), "yuyv:1280x720@10");
        assert_eq!(asked(1, 2, 1_333_333), "yuyv:160x90@7.5");
        assert_eq!(asked(0, 0, 0), "yuyv:640x480@30");
        assert_eq!(asked(255, 255, u32::MAX), "mjpeg:1920x1080@5");
    }

    #[test]
    fn a_short_probe_is_one_with_zeros() {
        let cheap = model("cheap").unwrap();
        assert_eq!(Mode::asked(cheap, &[]), Mode::default_of(cheap));
        assert_eq!(Mode::default_of(cheap).name(cheap), "mjpeg:1280x720@15");
    }
}
