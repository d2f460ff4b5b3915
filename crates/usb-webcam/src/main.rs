//! A USB webcam that is plugged in over TCP: `usb-webcam ADDRESS:PORT MODEL FOOTAGE [--serial TEXT]
//! [--microphone HZ|none]`.
//!
//! FOOTAGE is a folder: `yuyv-640x480`, `mjpeg-1280x720`, `sound-48000`. A machine plugs it in (bash) by
//! `exec 3<>/dev/tcp/ADDRESS/PORT; echo "0 3 1 3" >/sys/devices/platform/vhci_hcd.0/attach`: the port of the virtual
//! hub, the descriptor of the connection, a number, and 3 for high speed. Orders come on standard input, what happened
//! goes to standard output: `MILLISECONDS plug in`, `plug out`, `camera MODE`, `camera off, ...`, `microphone HZ`.

use std::io::BufRead;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use usb_webcam::{Device, Footage, Identity, MODELS, Order, Webcam, model, serve};

const USAGE: &str = "usage: usb-webcam ADDRESS:PORT MODEL FOOTAGE [--serial TEXT] [--microphone HZ|none]";
/// In Hz, between which USB Audio Class 1.0 at one packet per millisecond is of use.
const RATES: core::ops::RangeInclusive<u32> = 8_000..=192_000;

struct Arguments {
    address: String,
    identity: Identity,
    footage: PathBuf,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut next = |what: &str| words.next().ok_or_else(|| format!("{what} is missing; {USAGE}"));
    let (address, name, footage) = (next("ADDRESS:PORT")?, next("MODEL")?, next("FOOTAGE")?.into());
    let known = || MODELS.iter().map(|model| model.name).collect::<Vec<_>>().join(", ");
    let model = model(&name).ok_or_else(|| format!("no model {name}: there are {}", known()))?;
    let mut identity = Identity { model, serial: String::new(), sound_rate: Some(48_000) };
    while let Ok(option) = next("") {
        let value = next("a value")?;
        match (option.as_str(), value.as_str()) {
            ("--serial", serial) => serial.clone_into(&mut identity.serial),
            ("--microphone", "none") => identity.sound_rate = None,
            ("--microphone", rate) => {
                let rate = rate.parse().ok().filter(|rate| RATES.contains(rate));
                identity.sound_rate = Some(rate.ok_or_else(|| format!("no rate: {value}; {USAGE}"))?);
            }
            _ => return Err(format!("no option {option}; {USAGE}")),
        }
    }
    Ok(Arguments { address, identity, footage })
}

fn take_orders(webcam: &Webcam) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.parse::<Order>() {
            Ok(order) => webcam.obey(order),
            Err(error) => eprintln!("{error}"),
        }
    }
}

fn run() -> Result<(), String> {
    let Arguments { address, identity, footage } = arguments(std::env::args().skip(1))?;
    let listener = TcpListener::bind(&address).map_err(|error| format!("cannot listen at {address}: {error}"))?;
    let webcam = Arc::new(Webcam::new(Device::new(identity, Footage::new(footage))));
    let ordered = webcam.clone();
    std::thread::spawn(move || take_orders(&ordered));
    for stream in listener.incoming() {
        serve(&webcam, stream.map_err(|error| error.to_string())?);
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Identity, String> {
        arguments(line.split_whitespace().map(str::to_owned)).map(|arguments| arguments.identity)
    }

    #[test]
    fn arguments_are_read() {
        let webcam = read("127.0.0.1:3240 c920 /tmp --microphone 44100 --serial 7").unwrap();
        assert_eq!((webcam.model.name, webcam.serial.as_str(), webcam.sound_rate), ("c920", "7", Some(44_100)));
        assert_eq!(read("a c270 b --microphone none").unwrap().sound_rate, None);
        for wrong in ["", "a", "a c920", "a c9 b", "a c920 b --serial", "a c920 b --microphone 3", "a c920 b --loud 1"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
