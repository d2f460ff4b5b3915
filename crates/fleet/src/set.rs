//! `set`: what boxes do differently: picture and server until their guards end, or configuration that lasts.

use std::path::PathBuf;

use serde_json::{Map, Value};
use tallybox::exit::Exit;

use crate::command::{self, Ask, Caution, Command, CommandArgs, Desired};
use crate::files;

/// Longest file of values, in bytes: with a signature the message has to fit into 8 KiB.
const MAX_VALUES_BYTES: u64 = 6 * 1024;
/// Longest stream key that is read, in bytes.
const MAX_KEY_BYTES: u64 = 1024;

/// What is set.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// The picture, until the guard ends: at once where the encoder can, else for the next session.
    Video {
        /// Video bitrate in kbit/s.
        #[arg(long, value_name = "KBIT/S")]
        bitrate_kbps: Option<u32>,
        /// Width in pixels.
        #[arg(long, value_name = "PIXELS")]
        width: Option<u32>,
        /// Height in pixels.
        #[arg(long, value_name = "PIXELS")]
        height: Option<u32>,
        /// Frames per second.
        #[arg(long, value_name = "FPS")]
        fps: Option<u32>,
        #[command(flatten)]
        command: CommandArgs,
    },
    /// Where the next session goes, until the guard ends; within the boxes' allowed-ingest-hosts.
    Ingest {
        /// The server's address.
        #[arg(long, value_name = "URL")]
        url: String,
        /// A file with the stream key.
        #[arg(long, value_name = "FILE")]
        stream_key_file: Option<PathBuf>,
        #[command(flatten)]
        command: CommandArgs,
    },
    /// Configuration that lasts: the whole document, in place of the one before. Files on the box win.
    Desired {
        /// A value, such as video.bitrate-kbps=3000; a text without quotes is a text.
        #[arg(long = "value", value_name = "KEY=VALUE", value_parser = value)]
        values: Vec<(String, Value)>,
        /// A file with a JSON object of keys and values.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The document is taken back: what the boxes' own files say counts again.
        #[arg(long, conflicts_with_all = ["values", "file"])]
        withdraw: bool,
        /// Higher than that of each document before; milliseconds since 1970 without it.
        #[arg(long, value_name = "NUMBER")]
        version: Option<u64>,
        #[command(flatten)]
        command: CommandArgs,
    },
}

fn value(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, such as video.bitrate-kbps=3000")?;
    if !key.contains('.') {
        return Err(format!("{key:?} names no section: write video.bitrate-kbps, not bitrate-kbps"));
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((key.to_owned(), value))
}

/// Sets, and reports what became of it.
pub(crate) async fn run(action: &Action) -> Result<(), Exit> {
    let (command, ask) = match action {
        Action::Video { bitrate_kbps, width, height, fps, command } => {
            let given = [("bitrate-kbps", bitrate_kbps), ("width", width), ("height", height), ("fps", fps)];
            let given = given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::from((*value)?))));
            let parameters: Map<String, Value> = given.collect();
            if parameters.is_empty() {
                return Err(Exit::usage("name what to set: --bitrate-kbps, --width, --height or --fps"));
            }
            (command, Ask::Command(Command { verb: "set-video".to_owned(), parameters }))
        }
        Action::Ingest { url, stream_key_file, command } => {
            let mut parameters = Map::from_iter([("url".to_owned(), Value::from(url.as_str()))]);
            if let Some(file) = stream_key_file {
                let key = files::read_text(file, MAX_KEY_BYTES)?;
                parameters.insert("stream-key".to_owned(), key.trim_end_matches(['\r', '\n']).into());
            }
            (command, Ask::Command(Command { verb: "set-ingest".to_owned(), parameters }))
        }
        Action::Desired { values, file, withdraw, version, command } => {
            let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
            let values = if *withdraw { Map::new() } else { desired_values(values, file.as_ref())? };
            (command, Ask::Desired(Desired { version: version.unwrap_or(now), values }))
        }
    };
    command::run(command, &ask, Caution::Budget, None).await
}

fn desired_values(given: &[(String, Value)], file: Option<&PathBuf>) -> Result<Map<String, Value>, Exit> {
    let mut values = Map::new();
    if let Some(file) = file {
        let text = files::read_text(file, MAX_VALUES_BYTES)?;
        let read: Result<Map<String, Value>, _> = serde_json::from_str(&text);
        values = read.map_err(|error| {
            let help = "write a JSON object such as {\"video.bitrate-kbps\": 3000}";
            Exit::data(format!("{}: {error}; {help}", file.display()))
        })?;
    }
    values.extend(given.iter().cloned());
    if values.is_empty() {
        let help = "name values with --value or --file; --withdraw takes the document back";
        return Err(Exit::usage(format!("nothing is desired: {help}")));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_or_text() {
        assert_eq!(value("video.fps=25").unwrap(), ("video.fps".to_owned(), Value::from(25)));
        assert_eq!(value("overlay.clock=true").unwrap().1, Value::from(true));
        assert_eq!(value("overlay.text=Shop 42 = ours").unwrap().1, Value::from("Shop 42 = ours"));
        assert!(value("fps=25").is_err() && value("video.fps").is_err());
    }
}
