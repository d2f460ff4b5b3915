//! USB/IP's messages once a device is attached (the kernel's `Documentation/usb/usbip_protocol.rst`).

use std::io::{self, Read};

const CMD_SUBMIT: u32 = 1;
const CMD_UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;
const HEADER: usize = 48;
/// The number of isochronous packets of what is not isochronous.
const NOT_ISOCHRONOUS: u32 = u32::MAX;
/// More than a machine asks for at once: uvcvideo has 32 packets in a request, snd-usb-audio fewer.
const MOST_PACKETS: u32 = 1024;
/// More than any request here has, in bytes.
const MOST_BYTES: u32 = 4 * 1024 * 1024;

/// `-EPIPE` and `-ECONNRESET`, as they are sent.
pub(crate) const STALL: u32 = (-32_i32).cast_unsigned();
pub(crate) const UNLINKED: u32 = (-104_i32).cast_unsigned();

/// What the machine wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Submit(Submit),
    /// Takes back the request with the number `target`.
    Unlink {
        seq: u32,
        target: u32,
    },
}

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Submit {
    pub(crate) seq: u32,
    pub(crate) is_inward: bool,
    pub(crate) endpoint: u32,
    /// Bytes that are to be sent or came.
    pub(crate) length: u32,
    /// Microframes from one packet to the next.
    pub(crate) interval: u32,
    pub(crate) setup: [u8; 8],
    /// What came with it.
    pub(crate) data: Vec<u8>,
    /// The length of each isochronous packet.
    pub(crate) packets: Vec<u32>,
}

/// Reads the next one.
///
/// # Errors
/// The connection ended, or what came is no command.
pub(crate) fn read(stream: &mut impl Read) -> io::Result<Command> {
    let mut head = [0; HEADER];
    stream.read_exact(&mut head)?;
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (seq, length, count) = (word(4), word(24), word(32));
    match word(0) {
        CMD_UNLINK => return Ok(Command::Unlink { seq, target: word(20) }),
        CMD_SUBMIT => {}
        other => return Err(wrong(&format!("no command: {other}"))),
    }
    let count = if count == NOT_ISOCHRONOUS { 0 } else { count };
    if length > MOST_BYTES || count > MOST_PACKETS {
        return Err(wrong(&format!("{length} bytes in {count} packets")));
    }
    let is_inward = word(12) == 1;
    let data = bytes(stream, if is_inward { 0 } else { length })?;
    let table = bytes(stream, count * 16)?;
    let packets = table.chunks_exact(16).map(|entry| u32::from_be_bytes([entry[4], entry[5], entry[6], entry[7]]));
    let mut setup = [0; 8];
    setup.copy_from_slice(&head[40..]);
    let packets = packets.collect();
    let interval = word(36);
    Ok(Command::Submit(Submit { seq, is_inward, endpoint: word(16), length, interval, setup, data, packets }))
}

fn bytes(stream: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    let mut data = vec![0; usize::try_from(length).map_err(|_| wrong("too long"))?];
    stream.read_exact(&mut data)?;
    Ok(data)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn head(command: u32, seq: u32, rest: &[u32]) -> Vec<u8> {
    let mut words = vec![command, seq, 0, 0, 0];
    words.extend(rest);
    words.resize(HEADER / 4, 0);
    words.into_iter().flat_map(u32::to_be_bytes).collect()
}

/// A length or a count as it is sent.
fn word(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The answer to a request that is not isochronous: how many bytes went over, and those that came back.
pub(crate) fn answer(seq: u32, status: u32, went: usize, data: &[u8]) -> Vec<u8> {
    [&head(RET_SUBMIT, seq, &[status, word(went)]), data].concat()
}

/// The answer to an isochronous request: its packets one after another, `asked` and `sent` bytes of each.
pub(crate) fn isochronous(seq: u32, packets: &[(u32, usize)], data: &[u8]) -> Vec<u8> {
    let mut out = head(RET_SUBMIT, seq, &[0, word(data.len()), 0, word(packets.len())]);
    out.extend(data);
    let mut offset = 0_u32;
    for (asked, sent) in packets {
        out.extend([offset, *asked, word(*sent), 0].into_iter().flat_map(u32::to_be_bytes));
        offset = offset.saturating_add(*asked);
    }
    out
}

/// The answer to one that was taken back: whether it was still there.
pub(crate) fn unlinked(seq: u32, was_waiting: bool) -> Vec<u8> {
    head(RET_UNLINK, seq, &[if was_waiting { UNLINKED } else { 0 }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(words: [u32; 12]) -> Vec<u8> {
        words.into_iter().flat_map(u32::to_be_bytes).collect()
    }

    #[test]
    fn commands_are_read() {
        let mut bytes = sent([CMD_SUBMIT, 9, 0, 1, 1, 0, 6144, 0, 2, 1, 0, 0]);
        bytes.extend(sent([0, 3072, 0, 0, 3072, 3072, 0, 0, CMD_UNLINK, 10, 0, 0]));
        bytes.extend([0_u32, 9, 0, 0, 0, 0, 0, 0].into_iter().flat_map(u32::to_be_bytes));
        let mut stream = &bytes[..];
        let (seq, is_inward, endpoint, length, interval, setup) = (9, true, 1, 6144, 1, [0; 8]);
        let (data, packets) = (vec![], vec![3072, 3072]);
        let submit = Submit { seq, is_inward, endpoint, length, interval, setup, data, packets };
        assert_eq!(read(&mut stream).unwrap(), Command::Submit(submit));
        assert_eq!(read(&mut stream).unwrap(), Command::Unlink { seq: 10, target: 9 });
        assert_eq!(read(&mut stream).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for words in [
            [7, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            [CMD_SUBMIT, 1, 0, 0, 0, 0, u32::MAX, 0, NOT_ISOCHRONOUS, 0, 0, 0],
            [CMD_SUBMIT, 1, 0, 1, 1, 0, 0, 0, u32::MAX - 1, 1, 0, 0],
        ] {
            assert_eq!(read(&mut &sent(words)[..]).unwrap_err().kind(), io::ErrorKind::InvalidData, "{words:?}");
        }
    }

    #[test]
    fn answers_have_their_packets_behind_them() {
        let answer = isochronous(3, &[(3072, 2), (3072, 1)], &[1, 2, 3]);
        assert_eq!(answer.len(), HEADER + 3 + 2 * 16);
        assert_eq!(answer[HEADER..HEADER + 3], [1, 2, 3]);
        assert_eq!(answer[HEADER + 3 + 16..][..12], [0, 0, 12, 0, 0, 0, 12, 0, 0, 0, 0, 1]);
    }
}
