//! Disks that hang: by a library in front of the C library's calls, or in the kernel.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::disk;
use crate::support::test_box::TestBox;

/// The file that makes syncs hang for as long as it is there.
pub(crate) const HANGS: &str = "hangs";

/// Has this command's syncs hang while [`HANGS`] is in the box's folder.
pub(crate) fn hanging_syncs(shop: &TestBox, command: &mut Command) {
    let library = shop.path("disk.so");
    if !library.exists() {
        disk::make_library(&library);
    }
    command.env("LD_PRELOAD", library).env("FAKE_DISK_HANGS", shop.path(HANGS));
}

/// An ext4 file system in the place of `data-dir`, which can be frozen: whoever writes to it sleeps in the kernel, and
/// not even SIGKILL wakes it. A shell holds it, and thaws and unmounts it when this ends, however that ends.
pub(crate) struct KernelDisk {
    shell: Child,
    said: BufReader<std::process::ChildStdout>,
}

const SHELL: &str = r#"trap '' INT TERM
truncate -s 128M "$0"; mkfs.ext4 -q "$0"; mkdir "$1"; mount -o loop "$0" "$1"; rmdir "$1/lost+found"; echo ready
set +e
while read -r word; do "fsfreeze" "--$word" "$1"; echo "$?"; done
fsfreeze --unfreeze "$1" 2>/dev/null; umount -l "$1""#;

impl KernelDisk {
    /// Makes and mounts it. `None`: this user may not, or this kernel cannot.
    pub(crate) fn new(image: &Path, mounted: &Path) -> Option<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-ec", SHELL]).arg(image).arg(mounted);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(shell.stdout.take().unwrap());
        let mut this = Self { shell, said };
        (this.hear() == "ready").then_some(this)
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn set_frozen(&mut self, frozen: bool) {
        let word = if frozen { "freeze" } else { "unfreeze" };
        writeln!(self.shell.stdin.as_mut().unwrap(), "{word}").unwrap();
        assert_eq!(self.hear(), "0", "{word}");
    }
}

impl Drop for KernelDisk {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
