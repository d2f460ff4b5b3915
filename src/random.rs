//! Random bytes of the kernel, for keys and for what nobody may guess.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

#[cfg(feature = "sim")]
pub mod simulated;

/// Fills `bytes`, of which there are 256 at most: the kernel gives so many at once. Without flags the call waits until
/// the kernel has gathered enough entropy, of which a first boot has least.
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    #[cfg(feature = "sim")]
    if simulated::fill(bytes) {
        return Ok(());
    }
    if getrandom(&mut *bytes, GetRandomFlags::empty())? == bytes.len() {
        return Ok(());
    }
    Err(io::Error::other("the kernel gave too little noise"))
}
