//! A certificate authority of the test's own.

use std::process::Command;

/// `ca.pem`, which signed `server.pem` and `client.pem` (with `.key` beside each) for the name localhost; and
/// `stranger.pem`, which signed nothing.
pub struct Authority {
    dir: tempfile::TempDir,
}

const MAKE: &str =
    "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-authority -keyout ca.key -out ca.pem
for who in server client; do
  openssl req -newkey rsa:2048 -nodes -subj /CN=$who -keyout $who.key -out $who.csr
  printf 'basicConstraints=CA:FALSE\\nsubjectAltName=DNS:localhost\\n' > ext
  openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $who.pem
done
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=stranger -keyout x.key -out stranger.pem";

impl Authority {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("bash").arg("-ec").arg(MAKE).current_dir(dir.path()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        Self { dir }
    }

    /// Path of one of the files.
    pub fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}
