//! Cuts a fragmented MP4 stream into what a browser is fed with: the initialisation segment and fragments. Pure.

/// Longest box in bytes: a keyframe at 20 Mbit/s is under 2 MB.
const LONGEST: usize = 16 * 1024 * 1024;

/// One piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// `ftyp` and `moov`.
    Start(Vec<u8>),
    /// `moof` and `mdat`.
    Fragment(Vec<u8>),
}

/// Takes bytes as they come, gives pieces as they are complete.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    bytes: Vec<u8>,
    piece: Vec<u8>,
}

impl Cutter {
    /// Takes bytes in; gives the pieces that they complete. `None`: this is no MP4.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<Vec<Piece>> {
        self.bytes.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        while let Some((head, _)) = self.bytes.split_first_chunk::<8>() {
            let [a, b, c, d, kind @ ..] = *head;
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
            if !(8..=LONGEST).contains(&length) {
                return None;
            }
            if self.bytes.len() < length {
                break;
            }
            self.piece.extend(self.bytes.drain(..length));
            match &kind {
                b"moov" => pieces.push(Piece::Start(std::mem::take(&mut self.piece))),
                b"mdat" => pieces.push(Piece::Fragment(std::mem::take(&mut self.piece))),
                b"ftyp" | b"moof" => {}
                // Indexes and the like: nothing that a player needs.
                _ => self.piece.truncate(self.piece.len() - length),
            }
        }
        Some(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(kind: &str, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 8).unwrap();
        [&length.to_be_bytes()[..], kind.as_bytes(), body].concat()
    }

    #[test]
    fn pieces_come_out_however_the_bytes_come_in() {
        let parts =
            [atom("ftyp", b"a"), atom("moov", b"bc"), atom("sidx", b"x"), atom("moof", b"d"), atom("mdat", b"ef")];
        let whole = parts.concat();
        for step in [1, 3, 7, whole.len()] {
            let mut cutter = Cutter::default();
            let pieces: Vec<Piece> = whole.chunks(step).flat_map(|chunk| cutter.take(chunk).unwrap()).collect();
            let start = Piece::Start([parts[0].clone(), parts[1].clone()].concat());
            let fragment = Piece::Fragment([parts[3].clone(), parts[4].clone()].concat());
            assert_eq!(pieces, [start, fragment], "{step}");
        }
    }

    #[test]
    fn what_is_no_mp4_is_said_so() {
        assert_eq!(Cutter::default().take(b"\0\0\0\x01abcd"), None);
        assert_eq!(Cutter::default().take(b"\xff\xff\xff\xffabcd"), None);
    }
}
