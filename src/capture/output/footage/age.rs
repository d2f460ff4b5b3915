//! Writes files of the format age v1 (c2sp.org/age) for one X25519 recipient. Only what is written here: the box never
//! reads one, and has no key that could. The `age` crate would bring a hundred crates for its other half, and all of
//! the cryptography is ring's; the `age` program judges the result in tests.

use std::io::{self, Write};

use base64ct::{Base64Unpadded, Encoding};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::config::AgeRecipient;

/// Plain bytes of a chunk; each is sealed on its own.
const CHUNK: usize = 64 * 1024;
/// What the header's key of a recipient is derived for.
const RECIPIENT: &[u8] = b"age-encryption.org/v1/X25519";

/// A file that is being encrypted. Without [`AgeWriter::finish`] it is one that nobody accepts.
pub(super) struct AgeWriter<W> {
    inner: W,
    key: LessSafeKey,
    chunk: Vec<u8>,
    /// Chunks that are written.
    count: u64,
}

fn broken<E>(_: E) -> io::Error {
    io::Error::other("the footage cannot be encrypted")
}

/// 32 bytes of HKDF-SHA-256.
fn derive(secret: &[u8], salt: &[u8], purpose: &[u8]) -> io::Result<Zeroizing<[u8; 32]>> {
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let mut key = Zeroizing::new([0; 32]);
    let pseudorandom = Salt::new(HKDF_SHA256, salt).extract(secret);
    pseudorandom.expand(&[purpose], Length).and_then(|okm| okm.fill(&mut *key)).map_err(broken)?;
    Ok(key)
}

fn sealing_key(key: &[u8; 32]) -> io::Result<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new).map_err(broken)
}

/// The header, with the file's key wrapped for the recipient.
fn header(file_key: &[u8; 16], recipient: &AgeRecipient) -> io::Result<String> {
    let secret = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(broken)?;
    let share = secret.compute_public_key().map_err(broken)?;
    let salt = [share.as_ref(), recipient.key()].concat();
    // A recipient of low order, for which everybody knows the secret, is an error of ring's.
    let theirs = UnparsedPublicKey::new(&X25519, recipient.key());
    let wrapping = agree_ephemeral(secret, &theirs, |shared| derive(shared, &salt, RECIPIENT)).map_err(broken)??;
    // The key is used once.
    let mut wrapped = file_key.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    sealing_key(&wrapping)?.seal_in_place_append_tag(nonce, Aad::empty(), &mut wrapped).map_err(broken)?;
    let (share, wrapped) = (Base64Unpadded::encode_string(share.as_ref()), Base64Unpadded::encode_string(&wrapped));
    let signed = format!("age-encryption.org/v1\n-> X25519 {share}\n{wrapped}\n---");
    let mac = hmac::sign(&hmac::Key::new(HMAC_SHA256, &*derive(file_key, &[], b"header")?), signed.as_bytes());
    Ok(format!("{signed} {}\n", Base64Unpadded::encode_string(mac.as_ref())))
}

impl<W: Write> AgeWriter<W> {
    /// Begins a file for `recipient`, with a key that exists only in here.
    pub(super) fn new(mut inner: W, recipient: &AgeRecipient) -> io::Result<Self> {
        let (mut file_key, mut nonce) = (Zeroizing::new([0; 16]), [0; 16]);
        let random = SystemRandom::new();
        random.fill(&mut *file_key).and_then(|()| random.fill(&mut nonce)).map_err(broken)?;
        inner.write_all(header(&file_key, recipient)?.as_bytes())?;
        inner.write_all(&nonce)?;
        let key = sealing_key(&*derive(&*file_key, &nonce, b"payload")?)?;
        Ok(Self { inner, key, chunk: Vec::with_capacity(CHUNK + CHACHA20_POLY1305.tag_len()), count: 0 })
    }

    /// Adds plain bytes.
    pub(super) fn write(&mut self, mut plain: &[u8]) -> io::Result<()> {
        while !plain.is_empty() {
            // A full chunk waits until it is known not to be the last.
            if self.chunk.len() == CHUNK {
                self.seal(false)?;
            }
            let (now, later) = plain.split_at(plain.len().min(CHUNK - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            plain = later;
        }
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        // The chunk's number, big-endian in eleven bytes, and whether it is the last.
        let mut nonce = [0; NONCE_LEN];
        nonce[3..11].copy_from_slice(&self.count.to_be_bytes());
        nonce[11] = u8::from(last);
        self.count += 1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, Aad::empty(), &mut self.chunk).map_err(broken)?;
        self.inner.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;
    use std::process::{Command, Output};

    use super::*;

    /// A key of the `age` tool: its file, and the recipient.
    pub(in crate::capture::output::footage) fn operator(dir: &Path) -> AgeRecipient {
        let made = Command::new("age-keygen").arg("-o").arg(dir.join("key")).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let text = std::fs::read_to_string(dir.join("key")).unwrap();
        text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().parse().unwrap()
    }

    /// The operator's `age --decrypt`.
    pub(in crate::capture::output::footage) fn decrypt(dir: &Path, file: &Path) -> Output {
        Command::new("age").arg("--decrypt").arg("-i").arg(dir.join("key")).arg(file).output().unwrap()
    }

    fn encrypt(recipient: &AgeRecipient, plain: &[u8]) -> Vec<u8> {
        let mut writer = AgeWriter::new(Vec::new(), recipient).unwrap();
        plain.chunks(1000).for_each(|part| writer.write(part).unwrap());
        writer.finish().unwrap()
    }

    #[test]
    fn the_age_program_reads_what_is_written_whatever_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let recipient = operator(dir.path());
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 200_000] {
            let plain: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let file = dir.path().join("file");
            std::fs::write(&file, encrypt(&recipient, &plain)).unwrap();
            let read = decrypt(dir.path(), &file);
            assert!(read.status.success() && read.stdout == plain, "{length}: {:?}", read.stderr);
        }
    }

    /// A power cut leaves a part of a file, or blocks that were never written: what comes before can be read, and
    /// nothing else comes out.
    #[test]
    fn a_torn_file_is_read_up_to_its_last_whole_chunk() {
        let dir = tempfile::tempdir().unwrap();
        let recipient = operator(dir.path());
        let plain: Vec<u8> = (0..3 * CHUNK + 100).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let whole = encrypt(&recipient, &plain);
        let sealed = CHUNK + 16;
        let begin = whole.len() - plain.len() - 4 * 16;
        let file = dir.path().join("file");
        let places = [0, 1, begin - 1, begin, begin + 1, begin + sealed - 1, begin + sealed, begin + 2 * sealed + 7];
        for place in places.into_iter().chain([whole.len() - 1]) {
            let tail = whole.len() - place;
            let garbage: Vec<u8> = (0..tail).map(|at| u8::try_from(at * 7 % 256).unwrap()).collect();
            for (kind, tail) in [("cut", Vec::new()), ("zeros", vec![0; tail]), ("garbage", garbage)] {
                std::fs::write(&file, [&whole[..place], &tail[..]].concat()).unwrap();
                let read = decrypt(dir.path(), &file);
                let whole_chunks = place.saturating_sub(begin) / sealed;
                assert!(!read.status.success() && plain.starts_with(&read.stdout), "{kind} at {place}");
                // The last whole one is not told from a last one that is damaged, where the file ends with it.
                let chunks = read.stdout.len() / CHUNK;
                assert!(read.stdout.len().is_multiple_of(CHUNK) && chunks <= whole_chunks, "{kind} at {place}");
                assert!(chunks + 1 >= whole_chunks, "{kind} at {place}: {chunks} of {whole_chunks}");
            }
        }
    }

    /// Bits, bytes, chunks and ends.
    #[test]
    fn every_flip_swap_and_truncation_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let recipient = operator(dir.path());
        let plain = vec![0x5a; 3 * CHUNK + 100];
        let whole = encrypt(&recipient, &plain);
        let begin = whole.len() - plain.len() - 4 * 16;
        let sealed = CHUNK + 16;
        let mut damaged: Vec<(String, Vec<u8>)> = Vec::new();
        let places = (0..begin).chain((begin..whole.len()).step_by(9973)).chain([whole.len() - 1]);
        for (count, place) in places.enumerate() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1 << (count % 8);
            damaged.push((format!("flip {place}"), flipped));
        }
        for end in
            (0..whole.len()).step_by(7919).chain((0..4).map(|chunks| begin + chunks * sealed)).chain([whole.len() - 1])
        {
            damaged.push((format!("cut at {end}"), whole[..end].to_vec()));
        }
        for (one, other) in [(0, 1), (1, 2), (0, 2)] {
            let mut swapped = whole.clone();
            let (first, second) = swapped.split_at_mut(begin + other * sealed);
            first[begin + one * sealed..][..sealed].swap_with_slice(&mut second[..sealed]);
            damaged.push((format!("swap {one} {other}"), swapped));
        }
        damaged.push(("longer".to_owned(), [&whole[..], &[0]].concat()));
        // The payload of another file under this one's header.
        damaged.push(("other".to_owned(), [&whole[..begin], &encrypt(&recipient, &plain)[begin..]].concat()));
        let file = dir.path().join("file");
        for (what, bytes) in &damaged {
            std::fs::write(&file, bytes).unwrap();
            assert!(!decrypt(dir.path(), &file).status.success(), "{what} of {} was accepted", damaged.len());
        }
        std::fs::write(&file, &whole).unwrap();
        assert!(decrypt(dir.path(), &file).status.success());
    }
}
