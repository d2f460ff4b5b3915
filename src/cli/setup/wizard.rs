//! The questions, one after the other. Each answer is judged at once by what judges the whole.

use std::path::Path;

use super::answers::NONE;
use super::choices::{Choices, Material};
use super::detect::{Device, Found};
use super::folders::{self, Folders};
use super::preview::server;
use super::terminal::{Terminal, say};
use super::{certificates, draft};
use crate::exit::Exit;

/// Asks for everything. What is there already is the default.
pub(super) fn ask(
    terminal: &mut Terminal,
    choices: &mut Choices,
    found: &Found,
    folders: &Folders,
) -> Result<(), Exit> {
    say(
        "\nEnter takes what stands in brackets; \"none\" leaves something out; Ctrl-C ends it, and nothing is changed.\n",
    )?;
    ingest(terminal, choices, folders)?;
    broker(terminal, choices, folders)?;
    device_id(terminal, choices, folders)?;
    panel(terminal, choices, found, folders)?;
    devices(terminal, choices, found)?;
    let usual = draft::judge(choices, folders).map(|config| config.consent.policy_version).ok();
    let version = terminal.ask("Version of the privacy policy that staff agreed to", usual.as_deref(), |text| {
        let wanted = Choices { policy_version: Some(text.to_owned()), ..choices.clone() };
        fits(&wanted, folders, &["policy-version"]).map(|()| text.to_owned())
    })?;
    choices.policy_version = Some(version);
    Ok(())
}

/// What is wrong with the answers that have one of these keys.
fn fits(choices: &Choices, folders: &Folders, keys: &[&str]) -> Result<(), String> {
    let Err(wrong) = draft::judge(choices, folders) else { return Ok(()) };
    let ours = wrong.into_iter().find(|(key, _)| key.is_some_and(|key| keys.contains(&key)));
    ours.map_or(Ok(()), |(_, why)| Err(why))
}

fn ingest(terminal: &mut Terminal, choices: &mut Choices, folders: &Folders) -> Result<(), Exit> {
    let former = Some(choices.ingest_url.clone()).filter(|url| !url.is_empty());
    let question = "Ingest server (rtmps://HOST/APP, rtmp://, srt://HOST:PORT, or https:// for WHIP), without its key";
    let hides = |url: &String| url.contains('@') || !(url.contains("${") || choices.stream_key.is_some());
    let shown = former.as_ref().map_or_else(String::new, |url| if hides(url) { server(url) } else { url.clone() });
    let url = terminal.ask_shown(question, former.as_deref(), &shown, |text| {
        // Its key comes with the next question.
        let key = Material { from: None, content: b"key\n".to_vec() };
        let wanted = Choices { ingest_url: text.to_owned(), stream_key: Some(key), ..choices.clone() };
        fits(&wanted, folders, &["ingest-url"]).map(|()| text.to_owned())
    })?;
    choices.ingest_url = url;
    let what = match choices.scheme() {
        "srt" => "Stream id, if the server wants one",
        "https" | "http" => "WHIP token, if the server wants one",
        _ => "Stream key",
    };
    choices.stream_key = hidden(terminal, what, choices.stream_key.as_ref(), |key| {
        let wanted = Choices { stream_key: key, ..choices.clone() };
        fits(&wanted, folders, &["stream-key-file", "ingest-url"])
    })?;
    if choices.scheme() == "srt" {
        let what = "SRT passphrase, which encrypts the stream";
        choices.srt_passphrase = hidden(terminal, what, choices.srt_passphrase.as_ref(), |passphrase| {
            let wanted = Choices { srt_passphrase: passphrase, ..choices.clone() };
            fits(&wanted, folders, &["srt-passphrase-file"])
        })?;
    }
    Ok(())
}

/// A secret: Enter keeps the one that is there, or means none.
fn hidden(
    terminal: &mut Terminal,
    what: &str,
    former: Option<&Material>,
    judge: impl Fn(Option<Material>) -> Result<(), String>,
) -> Result<Option<Material>, Exit> {
    let enter = if former.is_some() { "Enter keeps the present one" } else { "Enter: none" };
    loop {
        let typed = terminal.hidden(&format!("{what} (does not show; {enter}): "))?;
        let material = match typed.trim() {
            "" => Ok(former.cloned()),
            NONE => Ok(None),
            text => Material { from: None, content: text.as_bytes().to_vec() }.secret().map(Some),
        };
        match material.and_then(|material| judge(material.clone()).map(|()| material)) {
            Ok(material) => return Ok(material),
            Err(wrong) => say(&format!("  {wrong}"))?,
        }
    }
}

fn broker(terminal: &mut Terminal, choices: &mut Choices, folders: &Folders) -> Result<(), Exit> {
    let former = choices.broker_url.clone().unwrap_or_else(|| NONE.to_owned());
    let question = "MQTT broker (mqtts://HOST:8883), or none: without it the box is not controlled from outside";
    let shown = if former.contains('@') { server(&former) } else { former.clone() };
    choices.broker_url = terminal.ask_shown(question, Some(&former), &shown, |text| {
        let url = Some(text.to_owned()).filter(|url| url != NONE);
        // Who the box is comes with the next questions.
        let wanted = Choices { broker_url: url.clone(), ..choices.clone() };
        fits(&wanted, folders, &["broker-url"]).map(|()| url)
    })?;
    if choices.broker_url.is_none() {
        return Ok(());
    }
    let question =
        "File with the certificate of the authority (CA) that the broker's certificate is from; none: a public one";
    choices.ca = file(terminal, question, folders::CA, choices.ca.as_ref(), folders, |ca| {
        fits(&Choices { ca, ..choices.clone() }, folders, &["ca-file"])
    })?;
    if choices.scheme() == "rtmps" && choices.ca.is_some() {
        let question = "Is the ingest server's certificate from the same authority?";
        choices.ingest_uses_ca = terminal.confirm(question, choices.ingest_uses_ca)?;
    }
    let question = "File with this box's client certificate, or none";
    choices.client_cert = file(terminal, question, folders::CERT, choices.client_cert.as_ref(), folders, |cert| {
        // Its key is asked for next.
        fits(&Choices { client_cert: cert, client_key: None, ..choices.clone() }, folders, &["client-cert-file"])
            .or_else(|why| if why.starts_with("client-cert without") { Ok(()) } else { Err(why) })
    })?;
    if choices.client_cert.is_none() {
        choices.client_key = None;
        return login(terminal, choices, folders);
    }
    choices.client_key =
        file(terminal, "File with its private key", folders::KEY, choices.client_key.as_ref(), folders, |key| {
            fits(&Choices { client_key: key, ..choices.clone() }, folders, &["client-key-file", "client-cert-file"])
        })?;
    Ok(())
}

fn login(terminal: &mut Terminal, choices: &mut Choices, folders: &Folders) -> Result<(), Exit> {
    let former = choices.broker_user.clone().unwrap_or_else(|| NONE.to_owned());
    choices.broker_user = terminal.ask("Name of this box at the broker, or none", Some(&former), |text| {
        let user = Some(text.to_owned()).filter(|user| user != NONE);
        let wanted = Choices { broker_user: user.clone(), broker_password: None, ..choices.clone() };
        fits(&wanted, folders, &["broker-user", "broker-url"]).map(|()| user)
    })?;
    if choices.broker_user.is_none() {
        choices.broker_password = None;
        return Ok(());
    }
    choices.broker_password =
        hidden(terminal, "Password at the broker", choices.broker_password.as_ref(), |password| {
            fits(&Choices { broker_password: password, ..choices.clone() }, folders, &["broker-password-file"])
        })?;
    Ok(())
}

/// A file's path. The default is the file that the box has.
fn file(
    terminal: &mut Terminal,
    question: &str,
    name: &str,
    former: Option<&Material>,
    folders: &Folders,
    judge: impl Fn(Option<Material>) -> Result<(), String>,
) -> Result<Option<Material>, Exit> {
    let there = folders.etc.join(name);
    let default = former.map_or_else(|| NONE.to_owned(), |_| there.display().to_string());
    terminal.ask(question, Some(&default), |text| {
        let material = if text == NONE { None } else { Some(Material::read(Path::new(text))?) };
        judge(material.clone()).map(|()| material)
    })
}

fn device_id(terminal: &mut Terminal, choices: &mut Choices, folders: &Folders) -> Result<(), Exit> {
    let named = certificates::ids(choices).into_iter().next();
    let derived = crate::config::derived_id(&std::fs::read(folders.root.join("etc/machine-id")).unwrap_or_default());
    let default = named.or_else(|| choices.device_id.clone()).or_else(|| derived.clone());
    let id = terminal.ask("Name of this box (a-z, 0-9, -): its topics at the broker", default.as_deref(), |text| {
        let wanted = Choices { device_id: Some(text.to_owned()), ..choices.clone() };
        fits(&wanted, folders, &["device-id"]).map(|()| text.to_owned())
    })?;
    // A derived one is written down only where it stood there before.
    let is_usual = choices.device_id.is_none() && derived.as_ref() == Some(&id);
    choices.device_id = Some(id).filter(|_| !is_usual);
    Ok(())
}

fn panel(terminal: &mut Terminal, choices: &mut Choices, found: &Found, folders: &Folders) -> Result<(), Exit> {
    let is_sim = choices.panel == "sim";
    if found.gpio.is_empty() || is_sim {
        let all = ["button and lamp on GPIO pins", "simulated, for a trial without a button: tallybox press"];
        let chosen = terminal.choose("Panel", &all.map(str::to_owned), usize::from(is_sim))?;
        "sim".clone_into(&mut choices.panel);
        if chosen == 1 {
            return Ok(());
        }
        "auto".clone_into(&mut choices.panel);
    }
    for (key, question, usual) in [
        ("button-pin", "Pin of the record button (BCM number)", Some(17)),
        ("lamp-pin", "Pin of the lamp", Some(27)),
        ("lamp-sense-pin", "Pin that senses the lamp's current, or none", None),
        ("mute-pin", "Pin of the mute button, or none", None),
    ] {
        let default = choices.pins.get(key).copied().or(usual).map_or_else(|| NONE.to_owned(), |pin| pin.to_string());
        let pin = terminal.ask(question, Some(&default), |text| {
            if text == NONE && usual.is_none() {
                return Ok(None);
            }
            let pin: u32 = text
                .parse()
                .map_err(|_| format!("{text:?} is no pin; write its BCM number, such as {}", usual.unwrap_or(22)))?;
            let mut wanted = choices.clone();
            wanted.pins.insert(key, pin);
            fits(&wanted, folders, &[key]).map(|()| Some(pin))
        })?;
        match pin {
            Some(pin) => choices.pins.insert(key, pin),
            None => choices.pins.remove(key),
        };
    }
    Ok(())
}

fn devices(terminal: &mut Terminal, choices: &mut Choices, found: &Found) -> Result<(), Exit> {
    let first =
        |devices: &[Device], none: &str| devices.first().map_or_else(|| none.to_owned(), |one| one.title.clone());
    let any = (format!("auto: the first that is there ({})", first(&found.cameras, "none now")), "auto".to_owned());
    choices.camera = device(terminal, "Camera", any, &found.cameras, &choices.camera, None)?;
    let any = (format!("auto: the first that is there ({})", first(&found.microphones, "none now")), "auto".to_owned());
    let none = ("none: picture only".to_owned(), NONE.to_owned());
    choices.microphone = device(terminal, "Microphone", any, &found.microphones, &choices.microphone, Some(none))?;
    Ok(())
}

/// One of the devices, by number; the present one stays a choice although it is not plugged in.
fn device(
    terminal: &mut Terminal,
    question: &str,
    any: (String, String),
    found: &[Device],
    present: &str,
    none: Option<(String, String)>,
) -> Result<String, Exit> {
    let mut all = vec![any];
    all.extend(found.iter().map(|device| (format!("{}: {}", device.name, device.title), device.name.clone())));
    all.extend(none);
    if !all.iter().any(|(_, name)| name == present) {
        all.push((format!("{present}: as it is now"), present.to_owned()));
    }
    let default = all.iter().position(|(_, name)| name == present).unwrap_or_default();
    let shown: Vec<String> = all.iter().map(|(title, _)| title.clone()).collect();
    let chosen = terminal.choose(question, &shown, default)?;
    Ok(all.swap_remove(chosen).1)
}
