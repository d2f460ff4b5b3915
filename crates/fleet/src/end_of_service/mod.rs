//! `end-of-service`: the platform's service ends at boxes, for good. The note is signed, published retained where
//! policies come, and what becomes of it is followed until each box has told.

mod watch;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notes::{DocumentType, Role, SignerKey};
use rumqttc::PublishOptions;
use rumqttc::mqttbytes::QoS;
use tallybox::exit::Exit;
use tallybox::ipc::EndOfServiceDocument;
use tallybox::judges::end_of_service::EndOfService;

use crate::connection::{BrokerArgs, Connection, SessionKind, Snapshot};
use crate::notice::{self, NoticeArgs};
use crate::receipts::Receipts;
use crate::target::Targets;
use crate::view::{self, Availability, State};
use crate::{options, output};

/// The name for each box that trusts the keys.
const EACH: &str = "*";
/// What is listened to.
const NAMES: [&str; 3] = ["availability", "state", "event"];

/// What is done about the end of the service.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Sign the note on a machine without a network; it goes to standard output.
    Sign {
        /// The box whose service ends; "*" is each box that trusts the keys.
        #[arg(value_name = "BOX")]
        target: String,
        #[command(flatten)]
        notice: NoticeArgs,
        /// The keys that sign; as many as boxes ask for on a policy.
        #[arg(long = "key", value_name = "FILE", required = true)]
        keys: Vec<PathBuf>,
    },
    /// Publish it for boxes, retained, and follow what becomes of it: those that are away end when they come.
    Publish(Box<PublishArgs>),
}

/// What is published, for whom, and who is sure of it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    targets: Targets,
    /// A note that was signed before.
    #[arg(long, value_name = "FILE", required_unless_present = "keys", conflicts_with_all = ["keys", "notice"])]
    note: Option<PathBuf>,
    /// The keys that sign a note for each of the boxes.
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    notice: NoticeArgs,
    /// The words that a terminal asks for, such as "end the service of 2 boxes".
    #[arg(long, value_name = "WORDS")]
    confirm: Option<String>,
    /// Appends each receipt to this file, in a line of JSON.
    #[arg(long, value_name = "FILE")]
    receipts: Option<PathBuf>,
    /// How long boxes that are online may take.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = options::duration)]
    timeout: Duration,
    /// All boxes are known once nothing came for this long.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = options::duration)]
    wait: Duration,
    /// A line of JSON for each box and one for all, with stable fields.
    #[arg(long)]
    json: bool,
}

/// What is known of a box before the note comes.
#[derive(Debug, Default)]
struct Known {
    availability: Availability,
    state: Option<State>,
}

impl Known {
    fn is_online(&self) -> bool {
        self.availability == Availability::Online
    }

    fn has_ended(&self) -> bool {
        self.state.as_ref().is_some_and(has_ended)
    }
}

/// Whether a box says that its service has ended.
fn has_ended(state: &State) -> bool {
    view::phase(state) == "locked" && state.reason.as_deref() == Some("end-of-service")
}

/// Does what was asked.
pub(crate) async fn run(action: &Action) -> Result<(), Exit> {
    match action {
        Action::Sign { target, notice, keys } => {
            if target != EACH && !options::is_box_id(target) {
                return Err(Exit::usage(format!("{target:?} is no id of a box: {}, or \"*\"", options::BOX_ID)));
            }
            output::line(sign(target, notice, &notice::signers(keys)?)?.trim_end())
        }
        Action::Publish(args) => publish(args).await,
    }
}

/// The note for a box, read by the box's own code before it leaves this machine.
fn sign(target: &str, told: &NoticeArgs, signers: &[SignerKey]) -> Result<String, Exit> {
    let document = EndOfServiceDocument {
        r#box: target.to_owned(),
        contacts: told.contacts.clone(),
        answer_days: told.answer_days,
        texts: told.texts()?,
    };
    let json = serde_json::to_string(&document).map_err(|error| Exit::software(error.to_string()))?;
    let note = notice::sign(&format!("{}\n{json}\n", DocumentType::EndOfService.as_str()), signers)?;
    EndOfService::verify(&notice::trust(signers, Role::EndOfService), &note, Some(target), None)
        .map_err(|rejection| Exit::data(format!("no box would take it: {}", rejection.why)))?;
    Ok(note)
}

/// A note that was signed before, and the box that it names.
fn read(file: &Path) -> Result<(String, String), Exit> {
    let (text, note) = notice::read(file)?;
    let wrong = |why: String| Exit::data(format!("{}: {why}", file.display()));
    let document = notes::document(note.text()).map_err(|error| wrong(error.to_string()))?;
    if document.kind != DocumentType::EndOfService {
        return Err(wrong(format!("it is no end of service, but {}", document.kind.as_str())));
    }
    let target = EndOfService::read(document.json).map_err(wrong)?.r#box;
    Ok((text, target))
}

async fn publish(args: &PublishArgs) -> Result<(), Exit> {
    args.targets.check()?;
    let signers = notice::signers(&args.keys)?;
    let signed = args.note.as_deref().map(read).transpose()?;
    let known = learn(args).await?;
    let ids = chosen(&args.targets, &known);
    if ids.is_empty() {
        return Err(Exit::unavailable("no box that the broker knows fits"));
    }
    let mut notes = BTreeMap::new();
    for id in ids {
        let note = match &signed {
            None => sign(&id, &args.notice, &signers)?,
            Some((note, target)) if *target == EACH || *target == id => note.clone(),
            Some((_, target)) => {
                return Err(Exit::data(format!("the note is for the box {target:?}, and not for {id}: sign another")));
            }
        };
        notes.insert(id, note);
    }
    confirm(&notes, args.confirm.as_deref())?;
    let receipts = Receipts::open(args.receipts.as_deref())?;
    let connection = Connection::open(&args.broker, filters(args), &SessionKind::Clean).await?;
    for (id, note) in &notes {
        let topic = format!("{}/{id}/policy", args.broker.prefix);
        let options = PublishOptions::at_least_once().retained();
        let failed = |why: String| Exit::unavailable(format!("{id}: the broker does not take it: {why}"));
        let sent = connection.client.publish_tracked(topic, note.clone(), options).await;
        let outcome = sent.map_err(|error| failed(error.to_string()))?.wait_async().await;
        outcome.map_err(|error| failed(error.to_string()))?;
    }
    watch::follow(args, connection, notes.into_keys().map(|id| known_as(id, &known)), receipts).await
}

/// A box, and what was known of it.
fn known_as(id: String, known: &BTreeMap<String, Known>) -> (String, watch::Standing) {
    let standing = match known.get(&id) {
        Some(known) if known.has_ended() => watch::Standing::EndedBefore,
        Some(known) if known.is_online() => watch::Standing::Waiting,
        Some(_) | None => watch::Standing::Away,
    };
    (id, standing)
}

/// What is subscribed to: all boxes, since a note may be for many.
fn filters(args: &PublishArgs) -> Vec<(String, QoS)> {
    let boxes: Vec<&str> = match args.targets.boxes.as_slice() {
        [one] => vec![one],
        _ => vec!["+"],
    };
    let topics = boxes.iter().flat_map(|id| NAMES.map(|name| format!("{}/{id}/{name}", args.broker.prefix)));
    topics.map(|topic| (topic, QoS::AtLeastOnce)).collect()
}

/// All boxes that the broker knows. The connection ends before somebody is asked, who may take their time.
async fn learn(args: &PublishArgs) -> Result<BTreeMap<String, Known>, Exit> {
    let mut connection = Connection::open(&args.broker, filters(args), &SessionKind::Clean).await?;
    let (mut boxes, mut snapshot) = (BTreeMap::<String, Known>::new(), Snapshot::new(args.wait));
    while let Some(message) = snapshot.next(&mut connection).await? {
        let topic = String::from_utf8_lossy(&message.topic);
        match view::split_topic(&args.broker.prefix, &topic) {
            Some((id, "availability")) => {
                boxes.entry(id.to_owned()).or_default().availability = Availability::parse(&message.payload);
            }
            Some((id, "state")) => boxes.entry(id.to_owned()).or_default().state = view::parse(&message.payload),
            Some(_) | None => {}
        }
    }
    connection.close().await;
    Ok(boxes)
}

/// The boxes that are meant: those that are named, whether the broker knows them or not, or all that fit.
fn chosen(targets: &Targets, known: &BTreeMap<String, Known>) -> Vec<String> {
    let mut ids: Vec<String> = if targets.boxes.is_empty() {
        let fits = |(id, known): &(&String, &Known)| targets.has(id, known.state.as_ref().map(view::phase));
        known.iter().filter(fits).map(|(id, _)| id.clone()).collect()
    } else {
        targets.boxes.clone()
    };
    ids.sort();
    ids.dedup();
    ids
}

/// The words that whoever ends it has to write: they name the box, or say how many there are.
fn words(notes: &BTreeMap<String, String>) -> String {
    match notes.keys().collect::<Vec<_>>().as_slice() {
        [one] => format!("end the service of {one}"),
        all => format!("end the service of {} boxes", all.len()),
    }
}

/// Nothing takes it back: somebody says in words what they are about to do.
fn confirm(notes: &BTreeMap<String, String>, given: Option<&str>) -> Result<(), Exit> {
    let words = words(notes);
    let ids: Vec<&str> = notes.keys().map(String::as_str).collect();
    let answer = match given {
        Some(given) => given.to_owned(),
        None if std::io::stdin().is_terminal() => {
            eprint!(
                "{}\nEach of them ends its session, destroys keys, credentials and footage, and captures nothing until \
                 somebody at the box\ngives it another configuration. Nothing takes that back.\nWrite \"{words}\" to go \
                 on: ",
                ids.join(" ")
            );
            let _ = std::io::stderr().flush();
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map_err(|error| Exit::io(error.to_string()))?;
            line.trim().to_owned()
        }
        None => String::new(),
    };
    if answer == words {
        return Ok(());
    }
    Err(Exit::usage(format!("nothing was published: it cannot be taken back, so write --confirm {words:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ends_a_service_says_whose() {
        let notes = |ids: &[&str]| ids.iter().map(|id| ((*id).to_owned(), String::new())).collect::<BTreeMap<_, _>>();
        let (one, two) = (notes(&["shop-1"]), notes(&["shop-1", "shop-2"]));
        assert!(confirm(&one, Some("end the service of shop-1")).is_ok());
        assert!(confirm(&two, Some("end the service of 2 boxes")).is_ok());
        for wrong in ["", "yes", "end the service of shop-2", "end the service of 1 boxes"] {
            assert!(confirm(&one, Some(wrong)).is_err() && confirm(&two, Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_note_is_what_a_box_reads() {
        let key = SignerKey::new("operator.example.cn/end", &[7; 32]).unwrap();
        let trust = notice::trust(std::slice::from_ref(&key), Role::EndOfService);
        let told = NoticeArgs {
            contacts: vec!["privacy@example.cn".to_owned()],
            answer_days: Some(10),
            ..NoticeArgs::default()
        };
        let note = sign("shop-1", &told, std::slice::from_ref(&key)).unwrap();
        let end = EndOfService::verify(&trust, &note, Some("shop-1"), None).unwrap();
        assert_eq!((end.document.contacts.as_slice(), end.document.answer_days), (&told.contacts[..], Some(10)));
        assert!(EndOfService::verify(&trust, &note, Some("shop-2"), None).is_err(), "it is for one box");
        let each = sign(EACH, &told, std::slice::from_ref(&key)).unwrap();
        assert!(EndOfService::verify(&trust, &each, Some("shop-2"), None).is_ok());
        let wrong = NoticeArgs { contacts: vec!["two\nlines".to_owned()], ..NoticeArgs::default() };
        assert!(sign("shop-1", &wrong, std::slice::from_ref(&key)).is_err());
    }
}
