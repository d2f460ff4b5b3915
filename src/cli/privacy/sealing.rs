//! The helper that seals the box's key: it has the machine's TPM do it, through systemd's own tool, and touches no
//! file.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use zeroize::Zeroizing;

use crate::exit::Exit;
use crate::ipc::clean;
use crate::sealing::{Answer, MAX_BYTES, Order};

/// Where the kernel lists TPM 2.0 devices.
const DEVICES: &str = "/sys/class/tpmrm";
/// With this systemd's libraries are told another device, as by tests.
const DEVICE: &str = "SYSTEMD_TPM2_DEVICE";
/// What is sealed is opened under this name only.
const NAME: &str = "--name=tallybox-identity";
/// Sealed to the TPM alone, not to the state of the boot: an update of firmware or boot loader must not cost the box
/// its identity. Register 16 is for debugging and stays zero; systemd 252 cannot open what is bound to no register at
/// all.
const REGISTERS: &str = "--tpm2-pcrs=16";
/// Longest reason that the guard is told, in characters.
const WHY: usize = 300;

/// Answers the guard's order, which comes in on standard input: a socket.
pub(crate) fn run() -> Result<(), Exit> {
    let usage = || Exit::usage("the guard asks for this through tallybox-sealing.socket");
    let mut stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(|_| usage())?);
    stream.local_addr().map_err(|_| usage())?;
    // Its room is reserved: a buffer that grows leaves copies of a key.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_BYTES).unwrap_or_default()));
    let read = (&stream).take(MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| Exit::io(format!("the guard's order cannot be read: {error}")))?;
    let (order, content) = Order::parse(&bytes).ok_or_else(usage)?;
    let answer = answer(order, content, Path::new(DEVICES));
    if let Answer::Failed(why) = &answer {
        eprintln!("the TPM was to {order:?} the box's key: {why}");
    }
    stream.write_all(&answer.bytes()).map_err(|error| Exit::io(format!("the guard does not take the answer: {error}")))
}

fn answer(order: Order, content: &[u8], devices: &Path) -> Answer {
    let has_device = std::fs::read_dir(devices).is_ok_and(|mut found| found.next().is_some());
    if !has_device && std::env::var_os(DEVICE).is_none() {
        return Answer::NoTpm;
    }
    let mut tool = Command::new("systemd-creds");
    match order {
        Order::Seal => tool.args(["encrypt", "--with-key=tpm2", REGISTERS]),
        Order::Open => tool.arg("decrypt"),
    };
    tool.args([NAME, "-", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match tool.spawn().and_then(|child| feed(child, content)) {
        Ok(answer) => answer,
        Err(error) => Answer::Failed(format!("systemd-creds: {error}")),
    }
}

/// Both fit into a pipe, so that neither waits for the other.
fn feed(mut child: Child, content: &[u8]) -> std::io::Result<Answer> {
    if let Some(mut input) = child.stdin.take() {
        // What it does not take it says better itself.
        let _ = input.write_all(content);
    }
    let output = child.wait_with_output()?;
    let said = Zeroizing::new(output.stdout);
    if output.status.success() && !said.is_empty() {
        return Ok(Answer::Done(said));
    }
    // The last line is the tool's own; those before it are the TPM library's.
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = words.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let why = last.map_or_else(|| format!("systemd-creds: {}", output.status), |line| clean(line, WHY));
    Ok(Answer::Failed(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_tpm_nothing_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("tpmrm");
        for order in [Order::Seal, Order::Open] {
            assert_eq!(answer(order, b"x", &nowhere), Answer::NoTpm);
            assert_eq!(answer(order, b"x", dir.path()), Answer::NoTpm, "the class without a device");
        }
    }
}
