//! The platform's desired configuration: verified, judged, kept, and put in force between sessions. What changes who
//! sees or hears people waits until staff agree. No clock, no channel and no consent machine in here: the engine asks
//! what to do next, and says when it is done.

mod answers;
mod asked_before;
mod document;
#[cfg(all(feature = "box", any(test, feature = "fuzzing")))]
pub(crate) mod fuzzing;
mod question;
mod report;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use asked_before::{LOST, refused_step};
pub(crate) use document::Content as DesiredContent;
use document::{Desired, DocumentRefusal};
pub use question::Question;
use sha2::{Digest, Sha256};
use store::NoteStore;
pub(crate) use store::{NEXT, NOTE};

use crate::config::{Config, Judged, Verdict, compare};
use crate::ipc::{Fact, Values, clean};
use crate::ledger::{DesiredHistory, Refusals};

/// Bytes of what staff are asked about, in the ledger.
const MAX_CHANGES: usize = 400;

/// What is in force of the platform's.
#[derive(Debug)]
struct InForce {
    /// `None`: there is no document.
    version: Option<u64>,
    digest: String,
    /// The files, with what was taken.
    config: Arc<Config>,
    taken: Values,
    keys: Vec<(String, Verdict)>,
}

/// How far a document is that is not in force yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing on the disk says so: a session is on, or was until now.
    Received,
    /// The ledger has its version, and the file is there.
    Kept,
    /// Staff are asked.
    Asked,
    /// Staff agreed.
    Agreed,
}

#[derive(Debug)]
struct Waiting {
    desired: Desired,
    stage: Stage,
    /// What becomes of its keys, and what staff have to agree to; judged once nothing is captured.
    judged: Option<(Judged, Vec<String>)>,
}

/// What to say to whoever handed in a document.
#[derive(Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It is new, and will be in force as soon as it may.
    New,
    /// It was handed in before.
    Repeated,
    /// It changes nothing: why, and whether this very one was refused just before.
    Refused {
        /// A sentence that says what to do.
        why: String,
        /// The same one was refused just before.
        again: bool,
    },
    /// The disk does not take it, or there are too many: worth another try.
    Unavailable(String),
}

/// What has to be done next for a document to be in force; each is reported back when it is done.
#[derive(Debug)]
pub enum Step {
    /// Write this, durably: [`Twin::received`].
    Receive(Fact),
    /// Write this, unless the ledger has it, and ask staff: [`Twin::asked`].
    Ask(Option<Fact>),
    /// Write this, durably: [`Twin::applied`].
    Apply(Fact),
    /// Write down that staff did not agree to this, as it was withdrawn: [`Twin::withdrawn`].
    Withdraw(Vec<String>),
    /// Write down that the document is not taken, and why: staff are not asked that again. [`Twin::declined`].
    Decline(String),
}

/// The desired configuration of this box.
#[derive(Debug)]
pub struct Twin {
    /// The files alone.
    files: Arc<Config>,
    store: NoteStore,
    /// The highest version that was judged, and the SHA-256 of its text.
    floor: (u64, String),
    in_force: InForce,
    waiting: Option<Waiting>,
    /// The version that the ledger says staff are asked about.
    announced: u64,
    /// What staff were asked about documents that others replaced since: asked still, or withdrawn.
    open: BTreeSet<String>,
    /// SHA-256 of the last document's text, where staff are not asked about it again.
    declined: Option<String>,
    /// What was in force is lost, and staff have to agree to go on without.
    lost: Option<u64>,
    /// Why the last document was refused, and the SHA-256 of that document.
    refusal: Option<(DocumentRefusal, [u8; 32])>,
    /// The disk did not take a note; it is tried again.
    is_stalled: bool,
}

impl Twin {
    /// Nothing is known but the files: [`Twin::restore`] follows.
    pub fn new(files: Arc<Config>) -> Self {
        Self {
            store: NoteStore::new(&files.device.data_dir),
            floor: (0, String::new()),
            in_force: InForce::files_alone(&files),
            waiting: None,
            announced: 0,
            open: BTreeSet::new(),
            declined: None,
            lost: None,
            refusal: None,
            is_stalled: false,
            files,
        }
    }

    /// The configuration of the next session.
    pub fn config(&self) -> &Arc<Config> {
        &self.in_force.config
    }

    /// What of it is not from files.
    pub fn values(&self) -> &Values {
        &self.in_force.taken
    }

    /// Takes up what the ledger and the disk have. Returns what was lost of it, for the ledger.
    pub fn restore(&mut self, history: &DesiredHistory, id: &str) -> Option<Fact> {
        self.floor = (history.received, history.digest.clone());
        (self.lost, self.announced) = (history.unsettled, history.announced);
        let (mut found, mut why) = (Vec::new(), "its file is missing".to_owned());
        for (place, content) in self.store.read().into_iter().enumerate() {
            match content.map(|note| note.map(|note| Desired::read(&note, &self.files.trust, id))) {
                Ok(None) => {}
                Ok(Some(Ok(desired))) => found.push((place, desired)),
                Ok(Some(Err(refusal))) => why = refusal.text,
                Err(error) => why = format!("its file cannot be read: {error}"),
            }
        }
        let mut take = |version: u64, digest: &str| {
            let is_it =
                |(_, known): &(usize, Desired)| version > 0 && known.version == version && known.digest == digest;
            Some(found.remove(found.iter().position(is_it)?))
        };
        let applied = take(history.applied, &history.applied_digest);
        let newer = (history.received > history.applied).then(|| take(history.received, &history.digest)).flatten();
        let lost = match applied {
            Some((place, desired)) => {
                if place > 0 {
                    self.commit();
                }
                self.resume(&desired, history);
                None
            }
            None => (history.applied > 0).then(|| self.lose(history, &why)),
        };
        if let Some((_, desired)) = newer {
            self.waiting = Some(Waiting { desired, stage: Stage::Kept, judged: None });
        }
        lost
    }

    /// Puts what was in force before the restart in force again. The files may have changed meanwhile, and let through
    /// what they kept out: that waits as a new document would.
    fn resume(&mut self, desired: &Desired, history: &DesiredHistory) {
        let before = desired.values.filtered(|key| history.taken.iter().any(|known| known == key));
        let (before, now) = (self.files.with_desired(&before), self.files.with_desired(&desired.values));
        let asks = compare(&before.config, &now.config).asks;
        if asks.is_empty() {
            self.in_force = InForce::new(desired, now);
            return;
        }
        self.waiting = Some(Waiting { desired: desired.clone(), stage: Stage::Kept, judged: Some((now, asks)) });
        self.in_force = InForce::new(desired, before);
    }

    fn lose(&mut self, history: &DesiredHistory, why: &str) -> Fact {
        // What it hid from the camera, or from whom, is not known any more.
        let asks = !history.taken.is_empty();
        if asks {
            self.lost = Some(history.applied);
        }
        let why = clean(why, crate::ipc::WHY);
        tracing::error!("the desired configuration {} is not in force any more: {why}", history.applied);
        self.refusal = Some((DocumentRefusal::new("lost", format!("what was in force is lost: {why}")), [0; 32]));
        Fact::DesiredDropped { version: history.applied, why, asks }
    }

    /// Takes a document. `may_keep`: there is no session that a slow disk could disturb. `admit`: whether one more may
    /// be written to the disk now; it is asked only about those that a trusted key signed.
    pub fn receive(&mut self, note: &str, id: &str, may_keep: bool, admit: impl FnOnce() -> bool) -> Receipt {
        let desired = match self.judge(note, id) {
            Ok(desired) => desired,
            Err(refusal) => {
                let digest = Sha256::digest(note.as_bytes()).into();
                let again = self.refusal.as_ref().is_some_and(|(_, known)| *known == digest);
                let why = refusal.text.clone();
                self.refusal = Some((refusal, digest));
                return Receipt::Refused { why, again };
            }
        };
        if self.declined.as_ref() == Some(&desired.digest) {
            return Receipt::Repeated;
        }
        let is_known = self.is_known(&desired);
        if is_known && (!may_keep || self.has_stored(&desired.note)) {
            self.refusal = None;
            return Receipt::Repeated;
        }
        if !admit() {
            return Receipt::Unavailable("too many documents: ten at once, then one every 10 s".to_owned());
        }
        self.refusal = None;
        if is_known {
            return self.keep_signatures(desired);
        }
        if let Some(Waiting { stage: Stage::Asked, judged: Some((_, asks)), .. }) = self.waiting.take() {
            self.open.extend(asks.into_iter().filter(|ask| ask != LOST));
        }
        self.declined = None;
        self.waiting = Some(Waiting { desired, stage: Stage::Received, judged: None });
        Receipt::New
    }

    /// Whether a document may follow on all before it.
    fn judge(&self, note: &str, id: &str) -> Result<Desired, DocumentRefusal> {
        let desired = Desired::read(note, &self.files.trust, id)?;
        let waiting = self.waiting.as_ref().map(|waiting| (waiting.desired.version, &waiting.desired.digest));
        let floor = (self.floor.0, &self.floor.1);
        let (highest, digest) = waiting.filter(|(version, _)| *version > floor.0).unwrap_or(floor);
        if desired.version < highest {
            let text = format!("version {} is not above {highest}; write a higher one", desired.version);
            return Err(DocumentRefusal::new("replayed", text));
        }
        if desired.version == highest && desired.digest != *digest {
            let text = format!("version {highest} was another document; write a higher version");
            return Err(DocumentRefusal::new("id-reused", text));
        }
        Ok(desired)
    }

    fn is_known(&self, desired: &Desired) -> bool {
        let waits = self.waiting.as_ref().is_some_and(|waiting| waiting.desired.digest == desired.digest);
        waits || (self.in_force.version == Some(desired.version) && self.in_force.digest == desired.digest)
    }

    fn has_stored(&self, note: &str) -> bool {
        self.store.read().iter().any(|stored| stored.as_ref().is_ok_and(|stored| stored.as_deref() == Some(note)))
    }

    /// The same text may come with other signatures: those of a key that takes over from another.
    fn keep_signatures(&mut self, desired: Desired) -> Receipt {
        let kept = match &mut self.waiting {
            Some(waiting) if waiting.desired.digest == desired.digest => {
                let kept = self.store.store_next(&desired.note);
                waiting.desired = desired;
                kept
            }
            Some(_) | None => self.store.store_signatures(&desired.note),
        };
        match kept {
            Ok(()) => Receipt::Repeated,
            Err(error) => Receipt::Unavailable(format!("it cannot be kept: {error}")),
        }
    }

    /// What to do next. Called only while nothing is captured. `refusals`: what staff did not agree to before.
    pub fn next_step(&mut self, refusals: &Refusals) -> Option<Step> {
        let waiting = self.waiting.as_mut().filter(|_| !self.is_stalled)?;
        if waiting.stage == Stage::Received {
            if waiting.desired.version > self.floor.0 {
                let Desired { version, digest, keys, .. } = waiting.desired.clone();
                return Some(Step::Receive(Fact::DesiredReceived { version, digest, keys }));
            }
            if let Err(error) = self.store.store_next(&waiting.desired.note) {
                tracing::error!("the desired configuration cannot be kept: {error}");
                self.is_stalled = true;
                return None;
            }
            waiting.stage = Stage::Kept;
        }
        let (judged, asks) = waiting.judged.get_or_insert_with(|| {
            let judged = self.files.with_desired(&waiting.desired.values);
            let mut asks = compare(&self.in_force.config, &judged.config).asks;
            if self.lost.is_some_and(|lost| lost != waiting.desired.version) && asks.is_empty() {
                asks.push(LOST.to_owned());
            }
            (judged, asks)
        });
        if waiting.stage == Stage::Kept
            && let Some(step) = refused_step(&self.open, asks, refusals)
        {
            return Some(step);
        }
        let version = waiting.desired.version;
        match waiting.stage {
            Stage::Asked => None,
            Stage::Kept if !asks.is_empty() => {
                let fact = Fact::DesiredPending { version, changes: clean(&asks.join("; "), MAX_CHANGES) };
                Some(Step::Ask((self.announced != version).then_some(fact)))
            }
            Stage::Received | Stage::Kept | Stage::Agreed => Some(Step::Apply(Fact::DesiredApplied {
                version,
                hash: judged.config.hash.clone(),
                ingest_host: judged.config.ingest.hosts(),
                taken: judged.taken.iter().map(|(key, _)| key.to_owned()).collect(),
            })),
        }
    }

    /// The ledger has the version; now the note is kept.
    pub fn received(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            self.floor = (waiting.desired.version, waiting.desired.digest.clone());
        }
    }

    /// What the disk did not take is tried again.
    pub fn retry(&mut self) {
        self.is_stalled = false;
    }

    /// The ledger has it: what waited is in force.
    pub fn applied(&mut self) {
        let Some(Waiting { desired, judged: Some((judged, _)), .. }) = self.waiting.take() else { return };
        if self.in_force.version != Some(desired.version) {
            self.commit();
        }
        tracing::info!("the desired configuration {} is in force: {:?}", desired.version, judged.taken);
        self.in_force = InForce::new(&desired, judged);
        self.lost = None;
    }

    /// Puts what is in force in its place. Where that fails it is tried again before another one is kept beside it; the
    /// next start knows from the ledger that it is in force.
    fn commit(&mut self) {
        if let Err(error) = self.store.commit() {
            tracing::error!("the desired configuration cannot be put in its place: {error}");
        }
    }

    /// Whether staff have to be asked, or still are.
    pub fn needs_agreement(&self) -> bool {
        self.lost.is_some() || self.waiting.as_ref().is_some_and(|waiting| waiting.stage == Stage::Asked)
    }

    /// The box was unbound: what the platform wanted is gone with the files. What was judged once stays judged.
    pub fn forget(&mut self) {
        self.in_force = InForce::files_alone(&self.files);
        (self.waiting, self.lost, self.refusal) = (None, None, None);
        (self.open, self.declined) = (BTreeSet::new(), None);
    }
}

impl InForce {
    fn files_alone(files: &Arc<Config>) -> Self {
        Self { version: None, digest: String::new(), config: files.clone(), taken: Values::default(), keys: Vec::new() }
    }

    fn new(desired: &Desired, Judged { config, taken, keys }: Judged) -> Self {
        Self { version: Some(desired.version), digest: desired.digest.clone(), config: Arc::new(config), taken, keys }
    }
}
