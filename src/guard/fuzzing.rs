//! Fuzz targets: names and texts of files that the guard finds.

use std::path::Path;

use super::{footage, identity, persistence_check};
use crate::erasure_files::ErasureRequest;
use crate::fuzzing::oracle::assert_told;
use crate::installed_package;
use crate::sealing::{Answer, Order};

/// Any bytes as each of them.
pub(crate) fn files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some((session, number)) = footage::parse(&text) {
        assert_eq!(footage::parse(&format!("{session}-{number}.age")), Some((session, number)));
    }
    if let Some(request) = ErasureRequest::parse(&text) {
        assert_eq!(request.text(), text);
    }
    if let Err(why) = identity::parse(&text) {
        assert_told(&why);
    }
    persistence_check::is_private(&text, Path::new("/var/lib/tallybox"));
    if let Some(found) = installed_package::parse(bytes) {
        assert!(text.contains(found.version.as_str()) && text.contains(&found.architecture));
    }
}

/// Any bytes between the guard and the helper that has the TPM.
pub(crate) fn sealing(bytes: &[u8]) {
    if let Some((order, content)) = Order::parse(bytes) {
        assert_eq!(order.bytes(content).as_slice(), bytes);
    }
    match Answer::parse(bytes) {
        Some(Answer::NoTpm) => assert!(bytes.starts_with(b"no-tpm\n")),
        Some(Answer::Failed(why)) => assert!(bytes.starts_with(b"failed\n") && why.len() <= 3 * bytes.len()),
        Some(Answer::Done(content)) => assert_eq!(Answer::Done(content).bytes().as_slice(), bytes),
        None => {}
    }
}
