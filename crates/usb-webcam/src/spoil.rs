//! Ways to break a JPEG, as bad cables and cameras short of time do.

/// How a picture is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// Its second half is missing.
    Truncated,
    /// Bytes that are no JPEG at all.
    Garbage,
    /// The marker at its end is missing.
    NoEnd,
    /// Its header names a quarter of the size that was negotiated.
    OtherSize,
    /// Nothing but its two markers: a picture without a picture.
    Empty,
    /// Its first segment is said to have 65,535 bytes, more than there are.
    Header,
}

impl Spoil {
    /// All of them, by the words that order them.
    pub const ALL: [(&'static str, Self); 6] = [
        ("truncated", Self::Truncated),
        ("garbage", Self::Garbage),
        ("no-end", Self::NoEnd),
        ("other-size", Self::OtherSize),
        ("empty", Self::Empty),
        ("header", Self::Header),
    ];

    /// `picture`, broken.
    pub(crate) fn apply(self, picture: &[u8]) -> Vec<u8> {
        match self {
            Self::Truncated => picture[..picture.len() / 2].to_vec(),
            Self::Garbage => picture.iter().map(|byte| byte.wrapping_mul(167).wrapping_add(13)).collect(),
            Self::NoEnd => picture.strip_suffix(&[0xff, 0xd9]).unwrap_or(picture).to_vec(),
            Self::OtherSize => resized(picture),
            Self::Empty => vec![0xff, 0xd8, 0xff, 0xd9],
            // Two markers, each of two bytes, stand before the length.
            Self::Header => {
                picture.iter().enumerate().map(|(at, byte)| if matches!(at, 4 | 5) { 0xff } else { *byte }).collect()
            }
        }
    }
}

/// The picture with half the width and half the height in its frame header (SOF0 to SOF2 of ITU-T T.81).
fn resized(picture: &[u8]) -> Vec<u8> {
    let mut out = picture.to_vec();
    // Marker, length, precision, height, width.
    let header = out.windows(9).position(|bytes| bytes[0] == 0xff && (0xc0..=0xc2).contains(&bytes[1]));
    if let Some(at) = header {
        for field in [at + 5, at + 7] {
            let half = u16::from_be_bytes([out[field], out[field + 1]]) / 2;
            out[field..field + 2].copy_from_slice(&half.to_be_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &[u8] =
        &[0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, 2, 208, 5, 0, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1, 9, 9, 9, 0xff, 0xd9];

    #[test]
    fn each_is_another_picture() {
        let broken: Vec<_> = Spoil::ALL.iter().map(|(_, spoil)| spoil.apply(PICTURE)).collect();
        for (number, picture) in broken.iter().enumerate() {
            assert!(!broken[..number].contains(picture) && picture != PICTURE, "{:?}", Spoil::ALL[number]);
        }
        assert_eq!(broken[3][7..11], [1, 104, 2, 128], "360 and 640");
    }

    #[test]
    fn what_is_no_jpeg_breaks_nothing() {
        for (_, spoil) in Spoil::ALL {
            spoil.apply(&[]);
            spoil.apply(&[0xff, 0xc0, 0, 1]);
        }
    }
}
