//! What a camera sees and a microphone hears: files of pictures of one format and size, and of samples of one rate.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{Format, Frame};
use crate::negotiation::picture_bytes;

/// The pictures of a mode, which are repeated. They share their memory.
pub(crate) type Pictures = Arc<[Arc<[u8]>]>;

/// Footage in a folder: `FORMAT-WIDTHxHEIGHT` holds raw pictures or JPEGs, one after another, and `sound-HZ` samples
/// (s16le, mono). A file is read when it is first needed, and kept.
#[derive(Debug)]
pub struct Footage {
    folder: PathBuf,
    pictures: HashMap<String, Pictures>,
    sounds: HashMap<u32, Arc<[u8]>>,
}

impl Footage {
    /// That in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, pictures: HashMap::new(), sounds: HashMap::new() }
    }

    /// The pictures of a mode.
    ///
    /// # Errors
    /// There is no such file, or no picture in it: in words.
    pub(crate) fn pictures(&mut self, format: Format, frame: &Frame) -> Result<Pictures, String> {
        let name = format!("{}-{}x{}", format.name(), frame.width, frame.height);
        if let Some(known) = self.pictures.get(&name) {
            return Ok(known.clone());
        }
        let path = self.folder.join(&name);
        let data = std::fs::read(&path).map_err(|error| format!("no footage {}: {error}", path.display()))?;
        let pictures: Pictures = match format {
            Format::Yuyv => {
                let size = usize::try_from(picture_bytes(frame)).unwrap_or(usize::MAX);
                data.chunks_exact(size.max(1)).map(Arc::from).collect()
            }
            Format::Mjpeg => jpegs(&data).into_iter().map(Arc::from).collect(),
            Format::H264 => Arc::from([Arc::from(data)]),
        };
        if pictures.is_empty() {
            return Err(format!("{} holds no picture", path.display()));
        }
        self.pictures.insert(name, pictures.clone());
        Ok(pictures)
    }

    /// Samples of this rate.
    ///
    /// # Errors
    /// As for pictures.
    pub(crate) fn sound(&mut self, rate: u32) -> Result<Arc<[u8]>, String> {
        if let Some(known) = self.sounds.get(&rate) {
            return Ok(known.clone());
        }
        let path = self.folder.join(format!("sound-{rate}"));
        let data = std::fs::read(&path).map_err(|error| format!("no footage {}: {error}", path.display()))?;
        if data.len() < 2 {
            return Err(format!("{} holds no sample", path.display()));
        }
        let sound: Arc<[u8]> = data.into();
        self.sounds.insert(rate, sound.clone());
        Ok(sound)
    }
}

/// The JPEGs of a file of nothing else: each ends where the next one begins.
fn jpegs(data: &[u8]) -> Vec<&[u8]> {
    let joints = data.windows(4).enumerate().filter(|(_, bytes)| *bytes == [0xff, 0xd9, 0xff, 0xd8]);
    let mut cuts: Vec<usize> = joints.map(|(at, _)| at + 2).collect();
    cuts.insert(0, 0);
    cuts.push(data.len());
    cuts.windows(2).map(|pair| &data[pair[0]..pair[1]]).filter(|jpeg| jpeg.starts_with(&[0xff, 0xd8])).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Footage that is in no file.
    pub(crate) fn of(pictures: &[(&str, &[&[u8]])], rate: u32, sound: &[u8]) -> Footage {
        let mut footage = Footage::new(PathBuf::from("/nowhere"));
        for (name, each) in pictures {
            footage.pictures.insert((*name).to_owned(), each.iter().map(|picture| Arc::from(*picture)).collect());
        }
        footage.sounds.insert(rate, sound.into());
        footage
    }

    #[test]
    fn jpegs_are_told_apart() {
        let (one, two) = ([0xff, 0xd8, 1, 0xff, 0xd9], [0xff, 0xd8, 0xff, 0xd9]);
        assert_eq!(jpegs(&[&one[..], &two, &one].concat()), [&one[..], &two, &one]);
        assert!(jpegs(b"").is_empty() && jpegs(b"no JPEG").is_empty());
    }

    #[test]
    fn what_is_missing_is_told() {
        let frame = Frame { width: 640, height: 480, intervals: &[333_333] };
        let mut footage = Footage::new(PathBuf::from("/nowhere"));
        assert!(footage.pictures(Format::Mjpeg, &frame).unwrap_err().contains("/nowhere/mjpeg-640x480"));
        assert!(footage.sound(44_100).unwrap_err().contains("/nowhere/sound-44100"));
    }
}
