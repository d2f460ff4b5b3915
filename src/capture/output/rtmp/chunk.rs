//! RTMP's chunk stream: messages are split into chunks, and the server's chunks are joined within limits.
//!
//! "Adobe's Real Time Messaging Protocol" 1.0 (2012), sections 5.3 and 5.4.

use std::collections::BTreeMap;

/// Message types (sections 5.4 and 7.1).
pub(super) mod message_type {
    pub(in super::super) const SET_CHUNK_SIZE: u8 = 1;
    pub(in super::super) const ABORT: u8 = 2;
    pub(in super::super) const ACKNOWLEDGEMENT: u8 = 3;
    pub(in super::super) const USER_CONTROL: u8 = 4;
    pub(in super::super) const WINDOW_ACK_SIZE: u8 = 5;
    pub(in super::super) const SET_PEER_BANDWIDTH: u8 = 6;
    pub(in super::super) const AUDIO: u8 = 8;
    pub(in super::super) const VIDEO: u8 = 9;
    /// A command in AMF3's envelope: one byte, then AMF0.
    pub(in super::super) const AMF3_COMMAND: u8 = 17;
    pub(in super::super) const AMF0_DATA: u8 = 18;
    pub(in super::super) const AMF0_COMMAND: u8 = 20;
}

/// The chunk size until a message changes it (section 5.4.1), in bytes.
const DEFAULT_CHUNK_SIZE: usize = 128;
/// The longest message that is read, in bytes. Servers send a publisher only commands, of about 100 bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// At most this many chunk streams of a server. Servers use two or three.
const MAX_CHUNK_STREAMS: usize = 16;
/// Timestamps from here on, in milliseconds (4 h 39 min), need the extended field; this value marks it (section
/// 5.3.1.3).
const EXTENDED_TIMESTAMP: u32 = 0xff_ffff;

/// The header of a message to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageHeader {
    /// The chunk stream, 2 to 63.
    pub(super) chunk_stream: u8,
    /// Milliseconds.
    pub(super) time: u32,
    pub(super) kind: u8,
    /// The message stream: 0 is the connection itself.
    pub(super) stream: u32,
}

/// Writes the message that consists of `parts`, of less than 16 MiB, in chunks of `chunk_size` bytes. Each message has
/// a full header: it depends on no other message, and timestamps need no order.
pub(super) fn write(out: &mut Vec<u8>, chunk_size: usize, header: MessageHeader, parts: &[&[u8]]) {
    let MessageHeader { chunk_stream, time, kind, stream } = header;
    let length = u32::try_from(parts.iter().map(|part| part.len()).sum::<usize>()).unwrap_or(u32::MAX);
    let extended = (time >= EXTENDED_TIMESTAMP).then(|| time.to_be_bytes());
    out.push(chunk_stream);
    out.extend(&time.min(EXTENDED_TIMESTAMP).to_be_bytes()[1..]);
    out.extend(&length.to_be_bytes()[1..]);
    out.push(kind);
    out.extend(stream.to_le_bytes());
    out.extend(extended.iter().flatten());
    let mut room = chunk_size;
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            if room == 0 {
                // Type 3: the message continues.
                out.push(0b1100_0000 | chunk_stream);
                out.extend(extended.iter().flatten());
                room = chunk_size;
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            out.extend(now);
            room -= now.len();
            rest = later;
        }
    }
}

/// A message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RtmpMessage {
    pub(super) kind: u8,
    pub(super) stream: u32,
    pub(super) body: Vec<u8>,
}

/// The input is not RTMP, or exceeds what a server has reason to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct MalformedChunk(pub(super) &'static str);

/// A chunk stream: the header that its next chunk may refer to, and the part of the message so far.
#[derive(Debug, Default)]
struct ChunkStream {
    length: usize,
    kind: u8,
    stream: u32,
    is_extended: bool,
    body: Vec<u8>,
}

/// Joins chunks to messages. It holds at most `MAX_CHUNK_STREAMS` messages of `MAX_MESSAGE` bytes, and its input.
#[derive(Debug)]
pub(super) struct ChunkReader {
    input: Vec<u8>,
    chunk_size: usize,
    streams: BTreeMap<u32, ChunkStream>,
}

impl Default for ChunkReader {
    fn default() -> Self {
        Self { input: Vec::new(), chunk_size: DEFAULT_CHUNK_SIZE, streams: BTreeMap::new() }
    }
}

impl ChunkReader {
    /// Adds received bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend(bytes);
    }

    /// The next message; `None`: more input is needed. Messages about chunks are handled here.
    ///
    /// # Errors
    /// A chunk that refers to no header, a message that is too long, too many chunk streams, or a chunk size of 0.
    pub(super) fn next(&mut self) -> Result<Option<RtmpMessage>, MalformedChunk> {
        let mut at = 0;
        let message = loop {
            match self.read_chunk(at)? {
                None => break None,
                Some((length, message)) => {
                    at += length;
                    if message.is_some() {
                        break message;
                    }
                }
            }
        };
        self.input.drain(..at);
        Ok(message)
    }

    /// Reads the chunk at `at`: its length in bytes, and the message that it completes.
    fn read_chunk(&mut self, at: usize) -> Result<Option<(usize, Option<RtmpMessage>)>, MalformedChunk> {
        let input = self.input.get(at..).unwrap_or_default();
        let Some((header, mut length)) = ChunkHeader::read(input) else { return Ok(None) };
        let ChunkHeader { format, id } = header;
        if !self.streams.contains_key(&id) && (format > 1 || self.streams.len() >= MAX_CHUNK_STREAMS) {
            return Err(MalformedChunk("a chunk that refers to nothing, or too many chunk streams"));
        }
        // Timestamp, length, type and message stream; each format omits more of them (section 5.3.1.2).
        let size = [11, 7, 3, 0][usize::from(format)];
        let Some(fields) = input.get(length..length + size) else { return Ok(None) };
        length += size;
        let known = self.streams.get(&id);
        let mut is_extended = known.is_some_and(|stream| stream.is_extended);
        let mut described = known.map_or((0, 0, 0), |stream| (stream.length, stream.kind, stream.stream));
        if let [a, b, c, ..] = fields {
            is_extended = [*a, *b, *c] == [0xff; 3];
        }
        if let [_, _, _, a, b, c, kind, ..] = fields {
            described.0 = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            described.1 = *kind;
        }
        if let [.., a, b, c, d] = fields
            && format == 0
        {
            described.2 = u32::from_le_bytes([*a, *b, *c, *d]);
        }
        if described.0 > MAX_MESSAGE {
            return Err(MalformedChunk("a message that is longer than any that a publisher is sent"));
        }
        length += if is_extended { 4 } else { 0 };
        // A full header within a message starts another message.
        let had = if format == 3 { known.map_or(0, |stream| stream.body.len()) } else { 0 };
        let part = (described.0 - had).min(self.chunk_size);
        let Some(data) = input.get(length..length + part) else { return Ok(None) };
        length += part;
        let stream = self.streams.entry(id).or_default();
        (stream.length, stream.kind, stream.stream) = described;
        stream.is_extended = is_extended;
        stream.body.truncate(had);
        stream.body.extend(data);
        if stream.body.len() < stream.length {
            return Ok(Some((length, None)));
        }
        let message = RtmpMessage { kind: stream.kind, stream: stream.stream, body: std::mem::take(&mut stream.body) };
        Ok(Some((length, self.handle_protocol_control(message)?)))
    }

    /// Handles the messages about chunks; others are returned.
    fn handle_protocol_control(&mut self, message: RtmpMessage) -> Result<Option<RtmpMessage>, MalformedChunk> {
        let number = || message.body.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        match (message.kind, number()) {
            (message_type::SET_CHUNK_SIZE, Some(size @ 1..=0x7fff_ffff)) => {
                self.chunk_size = usize::try_from(size).unwrap_or(MAX_MESSAGE).min(MAX_MESSAGE);
                Ok(None)
            }
            (message_type::SET_CHUNK_SIZE, _) => Err(MalformedChunk("a chunk size that is none")),
            (message_type::ABORT, Some(id)) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.body.clear();
                }
                Ok(None)
            }
            (_, _) => Ok(Some(message)),
        }
    }
}

/// The basic header of a chunk (section 5.3.1.1).
struct ChunkHeader {
    format: u8,
    id: u32,
}

impl ChunkHeader {
    /// Reads a header. Returns its length in bytes too.
    fn read(input: &[u8]) -> Option<(Self, usize)> {
        let first = *input.first()?;
        let (format, id) = (first >> 6, u32::from(first & 0x3f));
        let (id, length) = match id {
            0 => (64 + u32::from(*input.get(1)?), 2),
            1 => (64 + u32::from(*input.get(1)?) + 256 * u32::from(*input.get(2)?), 3),
            id => (id, 1),
        };
        Some((Self { format, id }, length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: MessageHeader =
        MessageHeader { chunk_stream: 3, time: 0, kind: message_type::AMF0_COMMAND, stream: 0 };

    fn read_all(reader: &mut ChunkReader) -> Result<Vec<RtmpMessage>, MalformedChunk> {
        let mut all = Vec::new();
        while let Some(message) = reader.next()? {
            all.push(message);
        }
        Ok(all)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_whatever_the_chunk_size_and_however_it_comes(
            bodies in proptest::collection::vec(
                (3_u8..9, any::<u32>(), proptest::collection::vec(any::<u8>(), 0..700)), 1..6),
            chunk_size in 1_usize..300,
            portion in 1_usize..50,
        ) {
            let mut wire = Vec::new();
            let size = u32::try_from(chunk_size).unwrap().to_be_bytes();
            write(&mut wire, 128, MessageHeader { chunk_stream: 2, kind: message_type::SET_CHUNK_SIZE, ..HEADER }, &[&size]);
            for (chunk_stream, time, body) in &bodies {
                let (front, back) = body.split_at(body.len() / 3);
                write(&mut wire, chunk_size, MessageHeader { chunk_stream: *chunk_stream, time: *time, ..HEADER }, &[front, back]);
            }
            let (mut reader, mut got) = (ChunkReader::default(), Vec::new());
            for bytes in wire.chunks(portion) {
                reader.feed(bytes);
                got.extend(read_all(&mut reader).unwrap());
            }
            let expected: Vec<_> = bodies.into_iter().map(|(_, _, body)| body).collect();
            prop_assert_eq!(got.into_iter().map(|message| message.body).collect::<Vec<_>>(), expected);
            prop_assert!(reader.input.is_empty());
        }

        #[test]
        fn whatever_a_server_sends_is_refused_or_held_within_bounds(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(255), 0_u8..32], 0..4000),
            portion in 1_usize..2000,
        ) {
            let mut reader = ChunkReader::default();
            for bytes in bytes.chunks(portion) {
                reader.feed(bytes);
                if read_all(&mut reader).is_err() {
                    return Ok(());
                }
            }
            prop_assert!(reader.streams.len() <= MAX_CHUNK_STREAMS);
            prop_assert!(reader.streams.values().all(|stream| stream.body.len() <= MAX_MESSAGE));
            prop_assert!(reader.input.len() <= MAX_MESSAGE + 18, "{}", reader.input.len());
        }
    }

    #[test]
    fn messages_of_two_chunk_streams_may_be_woven_into_one_another() {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        write(&mut first, 128, HEADER, &[&[1; 200]]);
        write(&mut second, 128, MessageHeader { chunk_stream: 4, ..HEADER }, &[&[2; 200]]);
        let mut reader = ChunkReader::default();
        for part in [&first[..140], &second[..140], &first[140..], &second[140..]] {
            reader.feed(part);
        }
        let bodies: Vec<_> = read_all(&mut reader).unwrap().into_iter().map(|message| message.body).collect();
        assert_eq!(bodies, [vec![1; 200], vec![2; 200]]);
    }

    #[test]
    fn a_message_that_is_aborted_is_forgotten() {
        let (mut wire, mut reader) = (Vec::new(), ChunkReader::default());
        write(&mut wire, 128, HEADER, &[&[1; 200]]);
        wire.truncate(140);
        write(&mut wire, 128, MessageHeader { chunk_stream: 2, kind: message_type::ABORT, ..HEADER }, &[&[0, 0, 0, 3]]);
        write(&mut wire, 128, HEADER, &[&[2; 10]]);
        reader.feed(&wire);
        assert_eq!(read_all(&mut reader).unwrap().len(), 1);
    }

    #[test]
    fn a_time_beyond_24_bits_is_said_in_each_chunk() {
        let mut wire = Vec::new();
        write(&mut wire, 4, MessageHeader { time: 0x0100_0000, ..HEADER }, &[&[9; 6]]);
        let header = [3, 255, 255, 255, 0, 0, 6, message_type::AMF0_COMMAND, 0, 0, 0, 0, 1, 0, 0, 0, 9, 9, 9, 9];
        assert_eq!(wire, [header.as_slice(), &[0xc3, 1, 0, 0, 0, 9, 9]].concat());
    }

    #[test]
    fn what_no_server_has_reason_to_send_is_refused() {
        let too_long = [3, 0, 0, 0, 1, 0, 1, 20, 0, 0, 0, 0];
        let no_chunk_size = [2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let refers_to_nothing = [0xc3, 0];
        let many: Vec<u8> = (3..20).flat_map(|id| [id, 0, 0, 0, 0, 0, 1, 20, 0, 0, 0, 0, 7]).collect();
        for bytes in [&too_long[..], &no_chunk_size, &refers_to_nothing, &many] {
            let mut reader = ChunkReader::default();
            reader.feed(bytes);
            assert!(read_all(&mut reader).is_err(), "{bytes:?}");
        }
    }
}
