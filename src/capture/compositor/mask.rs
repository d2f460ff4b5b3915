//! Privacy masks: rectangles that are made black before anything else sees the picture.

use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;

use crate::config::Mask;

/// Black in limited-range YUV, as video has it.
const BLACK_LUMA: u8 = 16;
const NEUTRAL_CHROMA: u8 = 128;

/// A rectangle with even sides, because a chroma sample covers two pixels each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PixelRect {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

/// `mask`, which is in pixels of a picture of the size `configured`, in one of the size `actual`. Rounded outwards, so
/// that it never covers less.
fn scaled(mask: &Mask, configured: (u32, u32), actual: (u32, u32)) -> PixelRect {
    let near = |at: u32, from: u32, to: u32| (u64::from(at) * u64::from(to) / u64::from(from.max(1))) & !1;
    let far = |at: u32, from: u32, to: u32| {
        let pixels = (u64::from(at) * u64::from(to)).div_ceil(u64::from(from.max(1)));
        pixels.next_multiple_of(2).min(u64::from(to))
    };
    let number = |pixels: u64| usize::try_from(pixels).unwrap_or(usize::MAX);
    PixelRect {
        left: number(near(mask.x, configured.0, actual.0)),
        top: number(near(mask.y, configured.1, actual.1)),
        right: number(far(mask.x.saturating_add(mask.width), configured.0, actual.0)),
        bottom: number(far(mask.y.saturating_add(mask.height), configured.1, actual.1)),
    }
}

/// Makes each of `masks` black. `None`: the picture is not I420, or smaller than it says, and must not be used.
pub(super) fn black_out(
    frame: &mut gst_video::VideoFrameRef<&mut gst::BufferRef>,
    masks: &[Mask],
    configured: (u32, u32),
) -> Option<()> {
    if frame.format() != gst_video::VideoFormat::I420 {
        return None;
    }
    let actual = (frame.width(), frame.height());
    for mask in masks {
        let PixelRect { left, top, right, bottom } = scaled(mask, configured, actual);
        for (plane, subsampling, value) in [(0, 1, BLACK_LUMA), (1, 2, NEUTRAL_CHROMA), (2, 2, NEUTRAL_CHROMA)] {
            let stride = usize::try_from(*frame.plane_stride().get(plane as usize)?).ok()?;
            let data = frame.plane_data_mut(plane).ok()?;
            for row in top / subsampling..bottom.div_ceil(subsampling) {
                data.get_mut(row * stride + left / subsampling..row * stride + right.div_ceil(subsampling))?
                    .fill(value);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_mask_never_covers_less() {
        let mask = Mask { x: 101, y: 51, width: 33, height: 17 };
        let same = scaled(&mask, (1280, 720), (1280, 720));
        assert_eq!(same, PixelRect { left: 100, top: 50, right: 134, bottom: 68 });
        // 854x480: two thirds of 101 are 67.4, of 134 are 89.4.
        assert_eq!(scaled(&mask, (1280, 720), (854, 480)), PixelRect { left: 66, top: 34, right: 90, bottom: 46 });
        let all = Mask { x: 0, y: 0, width: 1280, height: 720 };
        assert_eq!(scaled(&all, (1280, 720), (426, 240)), PixelRect { left: 0, top: 0, right: 426, bottom: 240 });
    }
}
