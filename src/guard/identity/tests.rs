//! The key in its file, plain and sealed: never lost, never doubled, never replaced silently.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::*;
use crate::sealing::{Answer, Order};
use monotonic::Monotonic;

const DAY: Duration = Duration::from_hours(24);

#[test]
fn it_is_made_once_and_only_its_owner_may_read_it() {
    let dir = tempfile::tempdir().unwrap();
    assert!(read(dir.path(), None).unwrap().is_none());
    let made = read_or_make(dir.path(), None, &KeySealer::default()).unwrap();
    assert_eq!(read_or_make(dir.path(), None, &KeySealer::default()).unwrap(), made);
    assert_eq!(read(dir.path(), None).unwrap(), Some(made.clone()));
    let bits = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(bits(&path(dir.path())), 0o600);
    assert_eq!(bits(&dir.path().join(CREDENTIALS)), 0o700);
    let left: Vec<_> = std::fs::read_dir(dir.path().join(CREDENTIALS)).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let other = tempfile::tempdir().unwrap();
    assert_ne!(read_or_make(other.path(), None, &KeySealer::default()).unwrap(), made, "two boxes are never the same");
}

#[test]
fn a_power_cut_before_it_was_in_its_place_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(CREDENTIALS)).unwrap();
    std::fs::write(dir.path().join(CREDENTIALS).join("identity.new"), "-----BEGIN PRIV").unwrap();
    let made = read_or_make(dir.path(), None, &KeySealer::default()).unwrap();
    assert_eq!(read(dir.path(), None).unwrap(), Some(made));
}

#[test]
fn a_damaged_key_is_told_and_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    read_or_make(dir.path(), None, &KeySealer::default()).unwrap();
    let path = path(dir.path());
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..whole.len() - 1 {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(
            matches!(read_or_make(dir.path(), None, &KeySealer::default()), Err(IdentityError::Damaged { .. })),
            "{cut} bytes"
        );
        assert_eq!(std::fs::read(&path).unwrap(), &whole[..cut]);
    }
    // Any one bit of it.
    for place in 0..whole.len() - 1 {
        let mut wrong = whole.clone();
        wrong[place] ^= 1;
        std::fs::write(&path, &wrong).unwrap();
        assert!(read_or_make(dir.path(), None, &KeySealer::default()).is_err(), "byte {place}");
    }
    std::fs::write(&path, &whole).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let told = read(dir.path(), None).unwrap_err().to_string();
    assert!(told.contains("mode 644") && told.contains("delete it and restart the guard"), "{told}");
}

#[test]
fn what_it_signs_is_checked_with_its_verifier_key() {
    let dir = tempfile::tempdir().unwrap();
    let identity = read_or_make(dir.path(), Some("shop-1"), &KeySealer::default()).unwrap();
    let key: VerifierKey = identity.verifier_key.parse().unwrap();
    assert_eq!(key.name(), format!("tallybox/shop-1/{:.16}", identity.fingerprint));
    let signed = sign(dir.path(), Some("shop-1"), "tallybox/receipt/v1\n{}\n", &KeySealer::default()).unwrap();
    assert_eq!(Note::parse(signed.as_bytes()).unwrap().is_signed_by(&key), Some(true));
    std::fs::remove_file(path(dir.path())).unwrap();
    assert!(
        sign(dir.path(), None, "tallybox/receipt/v1\n{}\n", &KeySealer::default()).is_err(),
        "no key, no signature"
    );
}

/// Stands for the helper and a TPM that seals by a number of its own; 0: there is none. The real ones are in
/// tests/appliance/sealing.rs and tests/vm.
struct Tpm {
    _dir: tempfile::TempDir,
    socket: PathBuf,
    secret: Arc<AtomicU8>,
}

impl Tpm {
    fn new(secret: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("sealing.sock");
        let (listener, secret) = (UnixListener::bind(&socket).unwrap(), Arc::new(AtomicU8::new(secret)));
        let own = secret.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut bytes = Vec::new();
                if io::Read::read_to_end(&mut stream, &mut bytes).is_ok() {
                    let answer = Self::answer(own.load(Ordering::Relaxed), &bytes);
                    let _ = io::Write::write_all(&mut stream, &answer.bytes());
                }
            }
        });
        Self { _dir: dir, socket, secret }
    }

    fn answer(secret: u8, bytes: &[u8]) -> Answer {
        let (order, content) = Order::parse(bytes).unwrap();
        if secret == 0 {
            return Answer::NoTpm;
        }
        match order {
            Order::Seal => {
                let hidden: Vec<u8> = content.iter().map(|byte| byte ^ secret).collect();
                Answer::Done(Zeroizing::new((crate::hex(&[secret]) + &crate::hex(&hidden)).into_bytes()))
            }
            Order::Open => {
                let text = std::str::from_utf8(content).unwrap().trim();
                let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
                if byte(0) != secret {
                    return Answer::Failed("integrity check failed".to_owned());
                }
                Answer::Done(Zeroizing::new((2..text.len()).step_by(2).map(|at| byte(at) ^ secret).collect()))
            }
        }
    }

    fn sealer(&self) -> KeySealer {
        KeySealer::new(Some(self.socket.clone()))
    }

    /// A TPM that was cleared, or another machine's.
    fn exchange(&self, secret: u8) {
        self.secret.store(secret, Ordering::Relaxed);
    }
}

fn files(dir: &Path) -> Vec<String> {
    let found = std::fs::read_dir(dir.join(CREDENTIALS)).unwrap();
    let mut names: Vec<_> = found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The guard's loop, some seconds long: what changed.
fn run(task: &mut SealingTask, now: Monotonic) -> Vec<KeyChange> {
    let mut changes = Vec::new();
    // It begins with the first call; then each that is under way is waited for.
    for _ in 0..4 {
        changes.extend(task.poll(now));
        while task.running.is_some() {
            changes.extend(task.poll(now));
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
    changes
}

fn task(dir: &Path, sealer: &KeySealer) -> SealingTask {
    SealingTask::new(sealer.clone(), dir, Monotonic::default())
}

fn signs(dir: &Path, sealer: &KeySealer, identity: &BoxIdentity) -> bool {
    let key: VerifierKey = identity.verifier_key.parse().unwrap();
    let Ok(note) = sign(dir, None, "tallybox/receipt/v1\n{}\n", sealer) else { return false };
    Note::parse(note.as_bytes()).unwrap().is_signed_by(&key) == Some(true)
}

#[test]
fn with_a_tpm_a_plain_key_never_comes_to_the_disk() {
    let (dir, tpm) = (tempfile::tempdir().unwrap(), Tpm::new(7));
    let made = read_or_make(dir.path(), None, &tpm.sealer()).unwrap();
    assert_eq!(files(dir.path()), [SEALED_FILE]);
    let text = std::fs::read_to_string(sealed_path(dir.path())).unwrap();
    assert!(!text.contains("PRIVATE") && text.contains(PUBLIC), "{text}");
    assert_eq!(std::fs::metadata(sealed_path(dir.path())).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(at_rest(dir.path()), Some(KeyAtRest::Tpm));
    // The guard starts anew: which box it is needs no TPM, a signature does.
    let sealer = tpm.sealer();
    assert_eq!(read_or_make(dir.path(), None, &KeySealer::default()).unwrap(), made);
    let told = signer(dir.path(), None, &sealer, Wait::No).err().unwrap().to_string();
    assert!(told.contains("it has not yet"), "{told}");
    let mut task = task(dir.path(), &sealer);
    assert_eq!(run(&mut task, Monotonic::default()), [KeyChange::Opened]);
    assert!(signer(dir.path(), None, &sealer, Wait::No).is_ok() && signs(dir.path(), &sealer, &made));
    assert!(signs(dir.path(), &tpm.sealer(), &made), "a receipt waits for the TPM");
    sealer.forget();
    assert!(signer(dir.path(), None, &sealer, Wait::No).is_err());
}

#[test]
fn a_plain_key_is_sealed_once_an_update_cannot_be_taken_back_any_more() {
    let (dir, tpm) = (tempfile::tempdir().unwrap(), Tpm::new(7));
    let made = read_or_make(dir.path(), None, &KeySealer::default()).unwrap();
    let sealer = tpm.sealer();
    let mut task = task(dir.path(), &sealer);
    let start = Monotonic::default();
    assert!(run(&mut task, start.saturating_add(Duration::from_mins(9))).is_empty());
    assert_eq!((files(dir.path()), at_rest(dir.path())), (vec![FILE.to_owned()], Some(KeyAtRest::Plain)));
    let open = std::fs::File::open(path(dir.path())).unwrap();
    assert_eq!(run(&mut task, start.saturating_add(Duration::from_mins(11))), [KeyChange::AtRest]);
    assert_eq!(files(dir.path()), [SEALED_FILE]);
    assert!(io::read_to_string(open).unwrap().bytes().all(|byte| byte == 0), "the plain file was overwritten");
    assert_eq!(read(dir.path(), None).unwrap(), Some(made.clone()));
    assert!(signs(dir.path(), &sealer, &made) && signs(dir.path(), &tpm.sealer(), &made));
}

/// The power is cut between any two steps of the sealing: one key, and it is the same.
#[test]
fn a_cut_sealing_ends_with_the_same_key() {
    let (dir, tpm) = (tempfile::tempdir().unwrap(), Tpm::new(7));
    let made = read_or_make(dir.path(), None, &KeySealer::default()).unwrap();
    let plain = std::fs::read(path(dir.path())).unwrap();
    run(&mut task(dir.path(), &tpm.sealer()), Monotonic::default().saturating_add(DAY));
    let whole = std::fs::read(sealed_path(dir.path())).unwrap();
    let zeros = vec![0; plain.len()];
    let half = &whole[..whole.len() / 2];
    // The plain file, the sealed one that is being written, and the one that is written.
    let steps: [[Option<&[u8]>; 3]; 5] = [
        [Some(&plain), Some(half), None],
        [Some(&plain), None, Some(&whole)],
        [Some(&zeros), None, Some(&whole)],
        [Some(b""), None, Some(&whole)],
        [None, None, Some(&whole)],
    ];
    for (step, [plain, staged, ready]) in steps.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(CREDENTIALS)).unwrap();
        for (name, content) in [(FILE, plain), ("identity.sealed.new", staged), (SEALED_FILE, ready)] {
            if let Some(content) = content {
                let at = dir.path().join(CREDENTIALS).join(name);
                std::fs::write(&at, content).unwrap();
                std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
        let sealer = tpm.sealer();
        assert_eq!(read_or_make(dir.path(), None, &sealer).unwrap(), made, "step {step}");
        run(&mut task(dir.path(), &sealer), Monotonic::default().saturating_add(DAY));
        assert_eq!(files(dir.path()), [SEALED_FILE], "step {step}");
        assert_eq!(read(dir.path(), None).unwrap().as_ref(), Some(&made), "step {step}");
        assert!(signs(dir.path(), &tpm.sealer(), &made), "step {step}");
    }
}

#[test]
fn another_tpm_is_told_and_costs_no_identity() {
    let (dir, tpm) = (tempfile::tempdir().unwrap(), Tpm::new(7));
    let made = read_or_make(dir.path(), None, &tpm.sealer()).unwrap();
    let before = std::fs::read(sealed_path(dir.path())).unwrap();
    for secret in [8, 0] {
        tpm.exchange(secret);
        let sealer = tpm.sealer();
        let mut task = task(dir.path(), &sealer);
        assert_eq!(run(&mut task, Monotonic::default()), [KeyChange::AtRest]);
        assert!(task.has_failed() && !signs(dir.path(), &sealer, &made));
        let told = sign(dir.path(), None, "tallybox/receipt/v1\n{}\n", &sealer).unwrap_err().to_string();
        assert!(told.contains("put the card back") && told.contains("claimed anew"), "{told}");
        assert_eq!(read_or_make(dir.path(), None, &sealer).unwrap(), made, "it is the same box all the same");
        assert_eq!(std::fs::read(sealed_path(dir.path())).unwrap(), before);
        // The card is put back.
        tpm.exchange(7);
        assert_eq!(run(&mut task, Monotonic::default().saturating_add(DAY)), [KeyChange::Opened]);
        assert!(!task.has_failed() && signs(dir.path(), &sealer, &made));
    }
}

#[test]
fn what_cannot_be_sealed_and_opened_stays_plain() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = KeySealer::new(Some(dir.path().join("none.sock")));
    let made = read_or_make(dir.path(), None, &nobody).unwrap();
    assert_eq!(files(dir.path()), [FILE]);
    assert!(run(&mut task(dir.path(), &nobody), Monotonic::default().saturating_add(DAY)).is_empty());
    // One that takes the order, and never answers.
    let silent = dir.path().join("silent.sock");
    let _listener = UnixListener::bind(&silent).unwrap();
    let refused = KeySealer::new(Some(silent)).seal(b"x", Duration::from_millis(20)).unwrap_err();
    assert!(matches!(refused, SealError::Failed(_)), "{refused}");
    assert_eq!((files(dir.path()), read(dir.path(), None).unwrap()), (vec![FILE.to_owned()], Some(made)));
}

#[test]
fn a_damaged_or_second_key_is_told_and_never_replaced() {
    let (dir, tpm) = (tempfile::tempdir().unwrap(), Tpm::new(7));
    read_or_make(dir.path(), None, &tpm.sealer()).unwrap();
    let at = sealed_path(dir.path());
    let whole = std::fs::read(&at).unwrap();
    for cut in 0..whole.len() {
        std::fs::write(&at, &whole[..cut]).unwrap();
        assert!(read_or_make(dir.path(), None, &tpm.sealer()).is_err(), "{cut} bytes");
    }
    for place in 0..whole.len() {
        let mut wrong = whole.clone();
        wrong[place] ^= 1;
        std::fs::write(&at, &wrong).unwrap();
        assert!(read_or_make(dir.path(), None, &tpm.sealer()).is_err(), "byte {place}");
    }
    std::fs::write(&at, &whole).unwrap();
    let other = tempfile::tempdir().unwrap();
    read_or_make(other.path(), None, &KeySealer::default()).unwrap();
    std::fs::copy(path(other.path()), path(dir.path())).unwrap();
    let told = read_or_make(dir.path(), None, &tpm.sealer()).unwrap_err().to_string();
    assert!(told.contains("another key"), "{told}");
    run(&mut task(dir.path(), &tpm.sealer()), Monotonic::default().saturating_add(DAY));
    assert_eq!(files(dir.path()), [FILE, SEALED_FILE], "nobody but a person decides which one counts");
}
