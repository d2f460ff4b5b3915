//! What differs between two configurations, and who has to agree to it: one rule for a USB stick, for the platform's
//! desired configuration and for its `set-ingest`. A short list of keys is free; staff are asked about what changes for
//! the people in front of the camera; the rest takes somebody who may write under `/etc`. Each pattern names every
//! field: a new key does not compile until it is judged.

use core::time::Duration;

use super::{
    Audio, AudioSource, Capture, Config, Consent, Crop, Destination, Device, Ingest, Mqtt, Outage, OutageBuffer,
    Overlay, Panel, PanelBackend, Privacy, Protocol, Residency, Rtmp, Srt, Video, Whip,
};

/// The stream would go elsewhere.
const ANOTHER_SERVER: &str = "it sends the stream to a server that staff did not agree to";

/// What differs, and who has to agree to it.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Nobody who brings a stick, to whatever box.
    pub(crate) never: Vec<&'static str>,
    /// Nobody who brings a stick, once the box was used.
    pub(crate) by_hand: Vec<&'static str>,
    /// Staff, by a hold of the button: who sees or hears people, what is seen or heard of them, or for how long.
    pub(crate) staff: Vec<&'static str>,
    /// The same as the questions that staff are asked: with the server where one is in it. Another size, time or device
    /// is the same question.
    pub(crate) asks: Vec<String>,
}

impl Changes {
    fn never(&mut self, changed: bool, what: &'static str) {
        self.never.extend(changed.then_some(what));
    }

    fn by_hand(&mut self, changed: bool, what: &'static str) {
        self.by_hand.extend(changed.then_some(what));
    }

    fn staff(&mut self, changed: bool, what: &'static str) {
        if changed {
            self.staff.push(what);
            self.asks.push(what.to_owned());
        }
    }

    /// The same for what depends on the server.
    fn staff_about(&mut self, changed: bool, what: &'static str, server: &Destination) {
        if changed {
            self.staff.push(what);
            self.asks.push(ask_about(what, server));
        }
    }

    /// A limit that may fall; staff agreed to what it is now.
    fn limit(&mut self, now: Duration, wanted: Duration, what: &'static str) {
        self.staff(wanted > now, what);
    }
}

fn ask_about(what: &str, server: &Destination) -> String {
    format!("{what}: {}", server.host.as_str())
}

/// What changes where `wanted` follows on `now`.
pub(crate) fn compare(now: &Config, wanted: &Config) -> Changes {
    let mut changes = Changes::default();
    let Config {
        device,
        panel,
        video,
        // Words on the picture are free.
        overlay: Overlay { text: _, clock: _ },
        masks,
        audio,
        capture: Capture { device_lost_limit },
        ingest,
        mqtt,
        // Whoever asks staff judges the version, together with all that it stands for.
        consent: Consent { policy_version: _, max_session, request_timeout, minors_mode },
        privacy,
        residency,
        trust,
        update,
        third_parties,
        // What was read, and from where.
        path: _,
        hash: _,
        files: _,
        warnings: _,
    } = wanted;
    compare_device(&mut changes, &now.device, device);
    compare_panel(&mut changes, &now.panel, panel);
    let hides = !now.masks.is_empty() || now.video.crop != Crop::default();
    compare_video(&mut changes, &now.video, video, hides);
    let masked = now.masks.iter().all(|mask| masks.contains(mask));
    changes.staff(!masked, "it uncovers what a privacy mask hid");
    compare_audio(&mut changes, &now.audio, audio);
    let what = "a camera that was away for longer would be opened again: [capture] device-lost-limit";
    changes.limit(now.capture.device_lost_limit, *device_lost_limit, what);
    compare_ingest(&mut changes, &now.ingest, ingest);
    compare_mqtt(&mut changes, now.mqtt.as_ref(), mqtt.as_ref());
    changes.limit(now.consent.max_session, *max_session, "sessions could last longer: [consent] max-session");
    let what = "the platform's question would wait longer for a press: [consent] request-timeout";
    changes.limit(now.consent.request_timeout, *request_timeout, what);
    let what = "minors' mode would end: [consent] minors-mode";
    changes.by_hand(now.consent.minors_mode && !*minors_mode, what);
    compare_privacy(&mut changes, &now.privacy, privacy);
    compare_residency(&mut changes, &now.residency, residency);
    changes.never(*trust != now.trust, "[[trust]] says whose commands this box obeys: only files under /etc may");
    let what = "[update] cannot change by a stick once the box was used: who keeps the software is not staff's matter";
    changes.by_hand(*update != now.update, what);
    let known = third_parties.iter().all(|party| now.third_parties.contains(party));
    changes.staff(!known, "it names another company that is given data: [[recipients]]");
    changes
}

/// What staff have to agree to before `set-ingest` sends sessions to `wanted` instead: another server than the one they
/// know, or less protection on the way. Another key at the same server is the platform's own matter: it changes with
/// each show.
pub(crate) fn asks_staff_about_destination(now: &Destination, wanted: &Destination) -> Vec<String> {
    let mut changes = Changes::default();
    changes.staff_about(now.host != wanted.host, ANOTHER_SERVER, wanted);
    changes.staff_about(
        is_encrypted(now) && !is_encrypted(wanted),
        "the stream would cross the network unencrypted",
        wanted,
    );
    changes.asks
}

const fn is_encrypted(destination: &Destination) -> bool {
    match &destination.protocol {
        Protocol::Rtmp(Rtmp { tls, .. }) | Protocol::Whip(Whip { tls, .. }) => *tls,
        Protocol::Srt(Srt { passphrase, .. }) => passphrase.is_some(),
    }
}

fn compare_device(changes: &mut Changes, now: &Device, wanted: &Device) {
    let Device { id, data_dir, runtime_dir } = wanted;
    let moved = (data_dir, runtime_dir) != (&now.data_dir, &now.runtime_dir);
    let what = "[device] data-dir and runtime-dir cannot come from a stick: ledger, lock and the policy that staff \
                acknowledged stay where they are";
    changes.never(moved, what);
    let what = "[device] id cannot change by a stick once the box was used: the platform knows the box by it";
    changes.by_hand(*id != now.id, what);
}

/// A lamp that is looked for at another pin is a dark one; a longer debounce overhears the touch that should stop.
fn compare_panel(changes: &mut Changes, now: &Panel, wanted: &Panel) {
    let Panel { backend, button_pin, lamp_pin, lamp_sense_pin, mute_pin, case_pin, active_low, debounce } = wanted;
    let simulated = *backend == PanelBackend::Sim && now.backend != PanelBackend::Sim;
    changes.never(simulated, "[panel] backend = \"sim\" cannot come from a stick: a press has to be a person's");
    let pins = (button_pin, lamp_pin, lamp_sense_pin, mute_pin, case_pin);
    let wired = *backend != now.backend
        || pins != (&now.button_pin, &now.lamp_pin, &now.lamp_sense_pin, &now.mute_pin, &now.case_pin)
        || (active_low, debounce) != (&now.active_low, &now.debounce);
    let what =
        "[panel] cannot change by a stick once the box was used: its lamp could be left dark, or a touch unheard";
    changes.by_hand(wired, what);
}

/// `hides`: something is masked or cut off, which holds for one camera and one geometry.
fn compare_video(changes: &mut Changes, now: &Video, wanted: &Video, hides: bool) {
    let Video {
        source,
        device,
        width,
        height,
        // How well it looks within that, and what the network has to carry: free.
        fps: _,
        encoder: _,
        bitrate_kbps: _,
        adaptive: _,
        min_bitrate_kbps: _,
        keyframe_interval: _,
        rotation,
        mirror,
        crop,
    } = wanted;
    let another = (source, device) != (&now.source, &now.device);
    changes.staff(another, "it takes the picture from another camera: [video] source and device");
    let turned = (rotation, mirror, crop) != (&now.rotation, &now.mirror, &now.crop);
    let resized = (width, height) != (&now.width, &now.height);
    changes.staff(
        hides && (turned || resized),
        "it uncovers what a privacy mask or a crop hid: the picture lies otherwise",
    );
    // A camera may have a wider view in another shape.
    let shape = u64::from(*width) * u64::from(now.height) != u64::from(now.width) * u64::from(*height);
    changes.staff(*width > now.width || shape, "it shows more than before: [video] width and height");
}

fn compare_audio(changes: &mut Changes, now: &Audio, wanted: &Audio) {
    // How it sounds is free.
    let Audio { source, device, bitrate_kbps: _, noise_suppression: _, high_pass: _ } = wanted;
    if *source == AudioSource::None {
        return;
    }
    if now.source == AudioSource::None {
        changes.staff(true, "it opens a microphone on a box that had none");
    } else {
        let another = (source, device) != (&now.source, &now.device);
        changes.staff(another, "it takes the sound from another microphone: [audio] source and device");
    }
}

fn compare_ingest(changes: &mut Changes, now: &Ingest, wanted: &Ingest) {
    // Which links carry the stream costs money, and shows nobody.
    let Ingest { first, second, reconnect_window, outage, metered_links: _, metered_interfaces: _ } = wanted;
    let Outage { buffer, size_mib, catch_up } = outage;
    compare_destination(changes, &now.first, first);
    if let Some(second) = second {
        if let Some(now) = &now.second {
            compare_destination(changes, now, second);
        } else {
            changes.staff_about(true, "it sends the stream to a second place: [ingest.second]", second);
            // Whoever did not agree to a server in one place does not agree to it in the other.
            changes.asks.extend((second.host != now.first.host).then(|| ask_about(ANOTHER_SERVER, second)));
        }
    }
    let what = "cameras could stay open for longer without a server: [ingest] reconnect-window";
    changes.limit(now.reconnect_window, *reconnect_window, what);
    let stored = *buffer == OutageBuffer::Disk && now.outage.buffer != OutageBuffer::Disk;
    changes.staff(stored, "footage would be written to the disk: [ingest] outage-buffer");
    changes.staff(*size_mib > now.outage.size_mib, "more footage would be kept: [ingest] outage-buffer-mib");
    changes.limit(now.outage.catch_up, *catch_up, "older footage would still be sent: [ingest] catch-up");
}

fn compare_destination(changes: &mut Changes, now: &Destination, wanted: &Destination) {
    let Destination { host, port, ca_file, protocol } = wanted;
    let server = (host, port) != (&now.host, &now.port);
    changes.staff_about(server, ANOTHER_SERVER, wanted);
    let (protection, key) = match (&now.protocol, protocol) {
        (Protocol::Rtmp(now), Protocol::Rtmp(Rtmp { tls, application, stream, login })) => {
            (*tls != now.tls, (application, stream, login) != (&now.application, &now.stream, &now.login))
        }
        // How what is lost is made good is free.
        (Protocol::Srt(now), Protocol::Srt(Srt { passphrase, key_length, stream_id, latency: _, packet_size: _ })) => {
            ((passphrase, key_length) != (&now.passphrase, &now.key_length), *stream_id != now.stream_id)
        }
        (Protocol::Whip(now), Protocol::Whip(Whip { tls, path_and_query, token })) => {
            (*tls != now.tls, (path_and_query, token) != (&now.path_and_query, &now.token))
        }
        (Protocol::Rtmp(_), Protocol::Srt(_) | Protocol::Whip(_))
        | (Protocol::Srt(_), Protocol::Rtmp(_) | Protocol::Whip(_))
        | (Protocol::Whip(_), Protocol::Rtmp(_) | Protocol::Srt(_)) => (true, true),
    };
    let protection = protection || *ca_file != now.ca_file;
    changes.staff_about(protection, "it changes how the stream is encrypted on its way", wanted);
    let what = "it sends the stream under another key, which may be another audience: [ingest] url, stream-key, \
                streamid, token";
    changes.staff_about(key && !server && !protection, what, wanted);
}

/// Whoever has the broker asks, mutes, and is told of everything: none of it comes from a stick.
fn compare_mqtt(changes: &mut Changes, now: Option<&Mqtt>, wanted: Option<&Mqtt>) {
    let same = match (now, wanted) {
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
        (Some(now), Some(wanted)) => {
            let Mqtt {
                tls,
                host,
                port,
                login,
                ca_file,
                crl_file,
                allow_plain,
                reconnect_spread,
                client_cert,
                client_key,
                topic_prefix,
                telemetry_interval: _,
                home_assistant,
            } = wanted;
            (tls, host, port, login) == (&now.tls, &now.host, &now.port, &now.login)
                && (ca_file, client_cert, client_key) == (&now.ca_file, &now.client_cert, &now.client_key)
                && (crl_file, allow_plain, reconnect_spread) == (&now.crl_file, &now.allow_plain, &now.reconnect_spread)
                && (topic_prefix, home_assistant) == (&now.topic_prefix, &now.home_assistant)
        }
    };
    let what = "[mqtt] cannot change by a stick once the box was used, telemetry-interval aside: it says who asks and \
                stops, and who is told";
    changes.by_hand(!same, what);
}

/// Where data may go is the operator's promise to staff and customers, and no matter of whoever brings a stick.
fn compare_residency(changes: &mut Changes, now: &Residency, wanted: &Residency) {
    let what =
        "[residency] cannot change by a stick once the box was used: it says in which networks servers may stand";
    changes.by_hand(wanted != now, what);
}

fn compare_privacy(changes: &mut Changes, now: &Privacy, wanted: &Privacy) {
    let Privacy { allowed_ingest_hosts, ledger_retention, footage_retention, footage_recipient } = wanted;
    let what = "[privacy] footage-recipient says who can read footage that is kept: only files under /etc may";
    changes.never(*footage_recipient != now.footage_recipient, what);
    let known = |host| now.allowed_ingest_hosts.iter().any(|pattern| pattern.covers(host));
    let wider = !allowed_ingest_hosts.iter().all(known);
    changes.staff(wider, "it lets streams go to a host that staff did not agree to: [privacy] allowed-ingest-hosts");
    let what = "[privacy] ledger-retention cannot change by a stick: it says how long consent can be proved";
    changes.by_hand(*ledger_retention != now.ledger_retention, what);
    let what = "unsent footage would be kept longer: [privacy] footage-retention";
    changes.limit(now.footage_retention, *footage_retention, what);
}
