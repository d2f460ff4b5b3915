//! Certificates that somebody configures, and that servers send.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::oracle::assert_told;
use crate::certificate::{Validity, names_in};

/// Any bytes as a file in PEM form, and as one certificate in DER.
pub(super) fn certificate(bytes: &[u8]) {
    let in_pem: Vec<_> = CertificateDer::pem_slice_iter(bytes).filter_map(Result::ok).take(8).collect();
    let der = CertificateDer::from(bytes.to_vec());
    for one in in_pem.iter().chain([&der]) {
        match Validity::of(one) {
            Ok(validity) => {
                assert_eq!(Validity::of_chain(std::slice::from_ref(one)), Ok(validity));
                assert_eq!(Validity::of_authorities(std::slice::from_ref(one)), Ok(validity));
            }
            Err(why) => assert_told(&why),
        }
        assert!(names_in(one).iter().map(String::len).sum::<usize>() <= 4 * one.len());
    }
    match Validity::of_chain(&in_pem) {
        Ok(validity) => {
            assert!(in_pem.iter().all(|one| Validity::of(one).is_ok_and(|one| one.until >= validity.until)));
        }
        Err(why) => assert_told(&why),
    }
}
