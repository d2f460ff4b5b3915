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

    /// Another certificate for `client.key`, with this name and this time (both `YYYYMMDDHHMMSSZ`), as `NAME.pem`.
    pub fn certify(&self, name: &str, from: &str, until: &str) -> String {
        const CERTIFY: &str = "openssl req -new -key client.key -subj /CN=$1 -out $1.csr
            printf '[ca]\ndefault_ca=a\n[a]\ndatabase=index\nserial=serial\nnew_certs_dir=.\npolicy=p\n[p]\ncommonName=supplied\n' >ca.conf
            : >index; echo 01 >serial; echo subjectAltName=DNS:localhost >san
            openssl ca -batch -config ca.conf -md sha256 -notext -cert ca.pem -keyfile ca.key -in $1.csr -out $1.pem \
              -startdate $2 -enddate $3 -extfile san";
        let mut command = Command::new("bash");
        let made =
            command.args(["-ec", CERTIFY, "bash", name, from, until]).current_dir(self.dir.path()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        self.file(&format!("{name}.pem"))
    }

    /// Path of one of the files.
    pub fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}
