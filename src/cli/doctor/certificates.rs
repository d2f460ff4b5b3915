//! This box's own certificate, its key and its authorities: whether they are good, until when, and for this box.

use std::path::{Path, PathBuf};

use super::tls::Identity;
use super::{CheckResult, fail, ok, warn};
use crate::certificate::{self, Age, Validity, names_in};
use crate::clock;
use crate::config::{Config, Mqtt};
use crate::revocation::RevocationList;
use crate::transport_warnings::Warning;

/// What the box can show a broker.
pub(super) enum Own {
    /// Nothing is configured.
    None,
    /// Something is, and cannot be used, or not by whoever calls; rows tell why.
    Unusable,
    /// This.
    Identity(Identity),
}

/// What there is to say about a certificate's time. `found` is whose it is.
pub(super) fn aged(check: &'static str, found: &str, validity: Validity, renew: &str) -> CheckResult {
    let (now, from, until) = (clock::utc_now(), validity.from.strftime("%F"), validity.until.strftime("%F"));
    match validity.age(now) {
        Age::Early => {
            let found = format!("{found}; its certificate is not good before {from}, and the clock here says {now:.0}");
            fail(check, found, format!("if the clock is wrong, see timedatectl; if the certificate is, {renew}"))
        }
        Age::Over => {
            let found = format!("{found}; its certificate ended on {until}, and the clock here says {now:.0}");
            fail(check, found, renew)
        }
        Age::Soon => warn(check, format!("{found}; its certificate ends soon, on {until}"), renew),
        Age::Good => ok(check, format!("{found}; its certificate is good until {until}")),
    }
}

/// Looks at what is configured, for a box with this id at the broker, as far as that is known.
pub(super) fn own(config: &Config, id: Option<&str>) -> (Own, Vec<CheckResult>) {
    let mut rows = authorities(config);
    let Some(mqtt) = &config.mqtt else { return (Own::None, rows) };
    let Some(file) = &mqtt.client_cert else { return (Own::None, rows) };
    let shown = file.display().to_string();
    let wrong = |why: String, advice: &str| fail("client-cert", why, advice);
    let chain = match certificate::read(file) {
        Ok(chain) => chain,
        Err(why) => {
            let advice = "write the box's certificate into it, in PEM form; see [mqtt] client-cert";
            rows.push(wrong(format!("{shown}: {why}"), advice));
            return (Own::Unusable, rows);
        }
    };
    match Validity::of_chain(&chain) {
        Ok(validity) => {
            let renew = "have a new one made for this id, put it there, and systemctl restart tallybox-agent";
            rows.push(aged("client-cert", &shown, validity, renew));
        }
        Err(why) => rows.push(wrong(format!("{shown}: {why}"), "have a new one made, and put it there")),
    }
    rows.extend(chain.first().zip(id).and_then(|(first, id)| other_name(&names_in(first), id)));
    let own = match key(mqtt).map(|key| Identity::new(chain, &key)) {
        // The rows about secrets tell.
        None => Own::Unusable,
        Some(Err(why)) => {
            rows.push(wrong(why, "write the key in PEM form, or its file's path, where [mqtt] client-key says"));
            Own::Unusable
        }
        Some(Ok(identity)) => match identity.belongs_together() {
            Ok(true) => Own::Identity(identity),
            Ok(false) => {
                let found = format!("{shown}: certificate and key do not belong together");
                let advice = "put the key there that this certificate was made with, or the certificate of this key; \
                              then systemctl restart tallybox-agent";
                rows.push(wrong(found, advice));
                Own::Unusable
            }
            Err(why) => {
                rows.push(wrong(format!("client-key: {why}"), "have a new key and certificate made"));
                Own::Unusable
            }
        },
    };
    (own, rows)
}

fn key(mqtt: &Mqtt) -> Option<String> {
    mqtt.client_key.as_ref()?.resolve().ok().map(|key| key.expose().to_owned())
}

/// Brokers that take a client's id from its certificate, as the one in config/servers does, let it write below that
/// name only: events under another id are refused, and wait in the box.
fn other_name(names: &[String], id: &str) -> Option<CheckResult> {
    let first = names.first()?;
    let advice = format!(
        "write [device] id = {first:?} if that is this box, or have a certificate made for {id:?}; until then a broker \
         that knows boxes by their certificates refuses its events, and they wait here"
    );
    if !names.iter().any(|name| name == id) {
        let found = format!("it is for {:?}, and this box's id is {id:?}", names.join(", "));
        return Some(fail("client-cert", found, advice));
    }
    (first != id).then(|| {
        let found = format!("its common name is {first:?}, and this box's id is {id:?}");
        warn("client-cert", found, advice)
    })
}

/// A row for each file of authorities that is configured.
fn authorities(config: &Config) -> Vec<CheckResult> {
    let broker = config.mqtt.iter().filter_map(|mqtt| mqtt.ca_file.clone());
    let mut files: Vec<PathBuf> =
        broker.chain(config.ingest.destinations().filter_map(|to| to.ca_file.clone())).collect();
    files.sort();
    files.dedup();
    let lists = config.mqtt.iter().filter_map(|mqtt| mqtt.crl_file.as_deref()).map(revocation_list);
    files.iter().map(|file| authority(file)).chain(lists).collect()
}

fn revocation_list(file: &Path) -> CheckResult {
    let shown = file.display();
    match RevocationList::read(file) {
        Err(why) => fail("crl-file", format!("{shown}: {why}"), "put the authority's list there, in PEM form"),
        Ok(list) => match list.next_update() {
            Some(until) if until < clock::utc_now() => {
                let found = format!("{shown}: a newer list was to come by {}", until.strftime("%F"));
                warn("crl-file", found, Warning::RevocationListOverdue.sentence())
            }
            Some(until) => ok("crl-file", format!("{shown}: the next list comes by {}", until.strftime("%F"))),
            None => ok("crl-file", format!("{shown}: it does not say when the next list comes")),
        },
    }
}

fn authority(file: &Path) -> CheckResult {
    let shown = file.display().to_string();
    let read = certificate::read(file).and_then(|found| Validity::of_authorities(&found));
    match read {
        Ok(validity) => {
            aged("ca-file", &shown, validity, "ask whoever keeps the servers for the authority's new certificate")
        }
        Err(why) => fail(
            "ca-file",
            format!("{shown}: {why}"),
            "write the certificate of the servers' authority into it, in PEM form; see ca-file in [mqtt] and [ingest]",
        ),
    }
}
