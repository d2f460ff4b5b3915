//! What a camera's process may send to capture.

use super::protocol::{MAX_TEXT, Record, RecordReader, picture_header};
use crate::fuzzing::input::Input;

/// Bytes of a picture in this target.
const PICTURE: usize = 24;

/// Any bytes from a camera's process, in any pieces: pictures have the size that was asked for, texts are short, and
/// nothing depends on where the pieces end.
pub(crate) fn camera_process(bytes: &[u8]) {
    gstreamer::init().expect("GStreamer");
    let mut input = Input::new(bytes);
    let (piece, has_memory) = (usize::from(input.byte()) + 1, input.byte() & 1 == 0);
    let data = input.rest();
    let in_pieces = read(data, piece, has_memory);
    assert_eq!(in_pieces, read(data, usize::MAX, has_memory), "pieces of {piece}");
    let (records, _) = in_pieces;
    let mut has_format = false;
    for record in &records {
        match record {
            Record::Format(_) => assert!(!std::mem::replace(&mut has_format, true), "two formats"),
            Record::Picture(at, memory) => {
                let header = picture_header(u32::try_from(PICTURE).expect("small"), *at);
                let sent = [&header[..], memory].concat();
                assert!(has_format && has_memory && data.windows(sent.len()).any(|window| window == sent));
            }
            Record::Skipped => assert!(has_format && !has_memory),
            Record::Failure(why) => assert!(why.len() <= MAX_TEXT && !why.contains(char::is_control), "{why:?}"),
        }
    }
}

type Records = (Vec<Record<Vec<u8>>>, bool);

/// What comes out of `data`, and whether it ended with a violation.
fn read(mut data: &[u8], piece: usize, has_memory: bool) -> Records {
    let mut reader = RecordReader::new(PICTURE);
    let mut records = Vec::new();
    while !data.is_empty() {
        let space = reader.space();
        let now = space.len().min(piece).min(data.len());
        space[..now].copy_from_slice(&data[..now]);
        data = &data[now..];
        match reader.advance(now, || has_memory.then(|| vec![0; PICTURE])) {
            Ok(record) => records.extend(record),
            Err(_) => return (records, true),
        }
    }
    (records, false)
}
