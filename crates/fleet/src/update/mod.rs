//! `update`: release documents, and the waves that they describe. The wave lives in the document: boxes go on without
//! this program, which watches, and stops a wave that fails.

mod progress;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use notes::{DocumentType, Note};
use rollout::{Release, Verdict, WaveState};
use rumqttc::PublishOptions;
use rumqttc::mqttbytes::QoS;
use serde_json::{Value, json};
use tallybox::exit::Exit;
use tallybox::runtime::ShutdownSignals;
use tokio::time::{MissedTickBehavior, interval};

use crate::connection::{BrokerArgs, Connection, Heard, SessionKind};
use crate::view::{self, State};
use crate::{files, notice, options, output};
use progress::{Progress, Standing};

/// Longest document, in bytes.
const MAX_BYTES: u64 = 8 * 1024;
/// How often a wave is judged while it is watched.
const JUDGE_INTERVAL: Duration = Duration::from_secs(5);
/// How long a broker may take to hand out a retained document.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is done with updates.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Sign a release document and publish it: boxes take it from now on, as its wave says.
    Publish {
        /// The document's JSON. Without a serial it gets the seconds since 1970.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        signing: Signing,
    },
    /// Stop the wave; boxes that have begun go on.
    Pause(Wave),
    /// Let a paused wave go on.
    Resume(Wave),
    /// End the wave for good: no box takes the update any more, whoever asks.
    Abort(Wave),
    /// How far the wave is.
    Status(Watch),
    /// Follow the wave; with keys, pause it once its budget is used up.
    Watch {
        #[command(flatten)]
        watch: Watch,
        /// The keys that sign the pause.
        #[arg(long = "key", value_name = "FILE")]
        keys: Vec<PathBuf>,
    },
}

/// Who signs, and where it goes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Signing {
    #[command(flatten)]
    broker: BrokerArgs,
    /// The keys that sign; several where boxes ask for more than one.
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
}

/// A wave that is changed.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "changed")]
pub(crate) struct Wave {
    /// The channel.
    #[arg(long, value_name = "NAME", default_value = "stable")]
    channel: String,
    #[command(flatten)]
    signing: Signing,
}

/// A wave that is looked at.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "watched")]
pub(crate) struct Watch {
    /// The channel.
    #[arg(long, value_name = "NAME", default_value = "stable")]
    channel: String,
    #[command(flatten)]
    broker: BrokerArgs,
    /// All boxes are known once nothing came for this long.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = options::duration)]
    wait: Duration,
    /// As JSON, with stable fields.
    #[arg(long)]
    json: bool,
}

/// Does what was asked.
pub(crate) async fn run(action: &Action) -> Result<(), Exit> {
    match action {
        Action::Publish { file, signing } => {
            let name = file.display();
            let mut value: Value = serde_json::from_str(&files::read_text(file, MAX_BYTES)?)
                .map_err(|error| Exit::data(format!("{name}: {error}")))?;
            if let Value::Object(fields) = &mut value {
                fields.entry("serial").or_insert_with(|| Timestamp::now().as_second().into());
            }
            let release = Release::parse(&value.to_string()).map_err(|error| Exit::data(format!("{name}: {error}")))?;
            publish(&release, &signing.broker, &signing.keys).await
        }
        Action::Pause(wave) => change(wave, WaveState::Paused).await,
        Action::Resume(wave) => change(wave, WaveState::Running).await,
        Action::Abort(wave) => change(wave, WaveState::Aborted).await,
        Action::Status(watch) => follow(watch, None).await,
        Action::Watch { watch, keys } => follow(watch, Some(keys)).await,
    }
}

fn topic(broker: &BrokerArgs, channel: &str) -> Result<String, Exit> {
    if !rollout::is_channel(channel) {
        return Err(Exit::usage(format!("--channel {channel:?}: write 1 to 32 of a-z, 0-9 and \"-\"")));
    }
    Ok(format!("{}/release/{channel}", broker.prefix))
}

async fn publish(release: &Release, broker: &BrokerArgs, keys: &[PathBuf]) -> Result<(), Exit> {
    send(release, broker, keys).await?;
    let (version, serial, channel) = (&release.version, release.serial, &release.channel);
    output::line(&format!("{channel}: version {version}, serial {serial}, {}", word(release.wave.state)))
}

async fn send(release: &Release, broker: &BrokerArgs, keys: &[PathBuf]) -> Result<(), Exit> {
    let json = release.to_json().map_err(|error| Exit::data(error.to_string()))?;
    let note = notice::sign(&format!("{}\n{json}\n", DocumentType::Release.as_str()), &notice::signers(keys)?)?;
    let connection =
        Connection::open(broker, vec![(topic(broker, &release.channel)?, QoS::AtLeastOnce)], &SessionKind::Clean)
            .await?;
    let options = PublishOptions::at_least_once().retained();
    let failed = |why: String| Exit::unavailable(format!("the broker does not take it: {why}"));
    let sent = connection.client.publish_tracked(topic(broker, &release.channel)?, note, options).await;
    let outcome = sent.map_err(|error| failed(error.to_string()))?.wait_async().await;
    outcome.map_err(|error| failed(error.to_string()))?;
    connection.close().await;
    Ok(())
}

const fn word(state: WaveState) -> &'static str {
    match state {
        WaveState::Running => "running",
        WaveState::Paused => "paused",
        WaveState::Aborted => "aborted",
    }
}

/// Publishes the document in force once more, with another state of its wave.
async fn change(wave: &Wave, state: WaveState) -> Result<(), Exit> {
    let Wave { channel, signing } = wave;
    let filters = vec![(topic(&signing.broker, channel)?, QoS::AtLeastOnce)];
    let mut connection = Connection::open(&signing.broker, filters, &SessionKind::Clean).await?;
    let document = tokio::time::timeout(DOCUMENT_TIMEOUT, async {
        loop {
            if let Heard::Message(message) = connection.recv().await {
                return read(&message.payload);
            }
        }
    });
    let missing = || Exit::unavailable(format!("there is no release on the channel {channel}"));
    let release = document.await.map_err(|_| missing())??;
    connection.close().await;
    publish(&with_state(release, state)?, &signing.broker, &signing.keys).await
}

fn with_state(mut release: Release, state: WaveState) -> Result<Release, Exit> {
    if release.wave.state == WaveState::Aborted && state != WaveState::Aborted {
        return Err(Exit::data("the wave was aborted: publish a new document"));
    }
    release.wave.state = state;
    release.serial += 1;
    Ok(release)
}

/// The document in a note. Who signed it is the boxes' matter: they trust keys, this program does not.
fn read(note: &[u8]) -> Result<Release, Exit> {
    let wrong = |why: String| Exit::data(format!("the release on the broker: {why}"));
    let note = Note::parse(note).map_err(|error| wrong(error.to_string()))?;
    let document = notes::document(note.text()).map_err(|error| wrong(error.to_string()))?;
    Release::parse(document.json).map_err(|error| wrong(error.to_string()))
}

/// Tells how far the wave is: once, or for as long as it takes.
async fn follow(watch: &Watch, keys: Option<&Vec<PathBuf>>) -> Result<(), Exit> {
    let mut shutdown = ShutdownSignals::listen_in_terminal()?;
    let prefix = &watch.broker.prefix;
    let index = topic(&watch.broker, &watch.channel)?;
    let filters = vec![
        (index.clone(), QoS::AtLeastOnce),
        (format!("{prefix}/+/state"), QoS::AtLeastOnce),
        (format!("{prefix}/+/event"), QoS::AtLeastOnce),
    ];
    let mut connection = Connection::open(&watch.broker, filters, &SessionKind::Clean).await?;
    let (mut release, mut progress, mut told) = (None, Progress::default(), None);
    let mut pace = interval(JUDGE_INTERVAL.min(watch.wait));
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    pace.reset();
    loop {
        let heard = tokio::select! {
            _ = shutdown.recv() => break,
            heard = connection.recv() => heard,
            _ = pace.tick() => {
                let missing = || Exit::unavailable(format!("there is no release on the channel {}", watch.channel));
                let release: &Release = release.as_ref().ok_or_else(missing)?;
                tell(watch, release, &progress, &mut told)?;
                let Some(keys) = keys else { break };
                if let Verdict::Abort(rule) = progress.judge(release, Timestamp::now())
                    && release.wave.state == WaveState::Running
                {
                    return stop(watch, release, keys, &rule).await;
                }
                continue;
            }
        };
        match heard {
            Heard::Connected => {}
            Heard::Lost(why) => eprintln!("the connection is lost, and made again: {why}"),
            Heard::Message(message) => {
                let topic = String::from_utf8_lossy(&message.topic).into_owned();
                match view::split_topic(prefix, &topic) {
                    // No box is called "release".
                    None if topic == index => release = Some(read(&message.payload)?),
                    Some((id, "state")) => hear_state(&mut progress, id, &message.payload),
                    Some((id, "event")) => hear_event(&mut progress, release.as_ref(), id, &message.payload),
                    Some(_) | None => {}
                }
                if message.retain {
                    // All that the broker has comes first.
                    pace.reset();
                }
            }
        }
    }
    connection.close().await;
    Ok(())
}

fn hear_state(progress: &mut Progress, id: &str, payload: &[u8]) {
    let Some(state) = view::parse::<State>(payload) else { return };
    let known = progress.boxes.entry(id.to_owned()).or_default();
    known.in_use = !matches!(view::phase(&state), "idle" | "locked" | "policy" | "fault" | "unknown");
    // An idle box says why its last session or request ended, and since when it is idle.
    let ended = state.since.as_deref().filter(|_| !known.in_use && state.reason.is_some());
    known.used_until = ended.and_then(|since| since.parse().ok());
    known.installed = state.software.and_then(|software| software.split_whitespace().last().map(str::to_owned));
}

fn hear_event(progress: &mut Progress, release: Option<&Release>, id: &str, payload: &[u8]) {
    let Some(event) = view::parse::<Value>(payload) else { return };
    let fact = &event["fact"];
    let is_ours = release.is_some_and(|release| fact["version"].as_str() == Some(release.version.as_str()));
    let known = progress.boxes.entry(id.to_owned()).or_default();
    match fact["kind"].as_str() {
        // One that a session or a power cut kept from it tries it again: that is no word about the version.
        Some("update-failed") if is_ours => known.failed = fact["again"] != true,
        Some("update-succeeded") if is_ours => known.failed = false,
        Some("update-announced") if is_ours => known.waits_until = time(&fact["until"]),
        Some("update-postponed") => known.waits_until = time(&fact["until"]),
        Some(_) | None => {}
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// Prints how far the wave is, unless that was the last thing that was told.
fn tell(
    watch: &Watch,
    release: &Release,
    progress: &Progress,
    told: &mut Option<BTreeMap<Standing, u32>>,
) -> Result<(), Exit> {
    let standings = progress.standings(release, Timestamp::now());
    if told.as_ref() == Some(&standings) {
        return Ok(());
    }
    let (version, serial, state) = (&release.version, release.serial, word(release.wave.state));
    if watch.json {
        output::json(&json!({
            "channel": watch.channel, "version": version, "serial": serial, "wave": state,
            "boxes": progress.boxes.len(), "standings": standings,
        }))?;
    } else {
        let counts: Vec<String> =
            standings.iter().map(|(standing, count)| format!("{count} {}", standing_word(*standing))).collect();
        let counts = counts.join(", ");
        output::line(&format!(
            "{}: version {version}, {state}; {} boxes: {counts}",
            watch.channel,
            progress.boxes.len()
        ))?;
    }
    *told = Some(standings);
    Ok(())
}

const fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Updated => "updated",
        Standing::Failed => "failed",
        Standing::Silent => "silent",
        Standing::Busy => "busy",
        Standing::Due => "due",
        Standing::Waiting => "waiting",
        Standing::Beyond => "beyond",
    }
}

/// Pauses a wave whose budget is used up, or says that it should be.
async fn stop(watch: &Watch, release: &Release, keys: &[PathBuf], rule: &rollout::AbortRule) -> Result<(), Exit> {
    let share = f64::from(rule.permille) / 10.0;
    let why = format!("more than {share} % of the boxes that are done failed, and at least {}", rule.minimum);
    if keys.is_empty() {
        return Err(Exit::temporary(format!("{why}: call update pause, and look into it")));
    }
    send(&with_state(release.clone(), WaveState::Paused)?, &watch.broker, keys).await?;
    Err(Exit::temporary(format!("{why}: the wave is paused; look into it, then call update resume or update abort")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_version_is_to_blame_for_counts_as_a_failure() {
        let text = r#"{"version":"0.2.0-1","serial":5,"channel":"stable",
            "files":{"arm64":{"url":"https://updates.example.cn/tallybox.deb","size":1000,
                "sha256":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"}},
            "not-after":"2026-12-31T00:00:00Z","security":false,"wave":{"start":"2026-11-29T10:00:00Z","stages":[{"permille":1000}]}}"#;
        let release = Release::parse(text).unwrap();
        let mut progress = Progress::default();
        let mut hear = |fact: Value| {
            hear_event(&mut progress, Some(&release), "shop-1", json!({ "fact": fact }).to_string().as_bytes());
            progress.boxes["shop-1"].clone()
        };
        let failed = |again: bool, version: &str| json!({"kind": "update-failed", "version": version, "again": again});
        assert!(!hear(failed(true, "0.2.0-1")).failed, "a session or a power cut kept it");
        assert!(!hear(failed(false, "0.1.9-1")).failed, "another version");
        assert!(hear(failed(false, "0.2.0-1")).failed);
        assert!(!hear(json!({"kind": "update-succeeded", "version": "0.2.0-1"})).failed);
        let known = hear(json!({"kind": "update-postponed", "until": "2026-11-30T02:00:00Z"}));
        assert_eq!(known.waits_until, Some("2026-11-30T02:00:00Z".parse().unwrap()));
        hear_state(&mut progress, "shop-1", br#"{"phase":"idle","since":"2026-11-29T11:00:00Z","reason":"press"}"#);
        assert_eq!(progress.boxes["shop-1"].used_until, Some("2026-11-29T11:00:00Z".parse().unwrap()));
        hear_state(&mut progress, "shop-1", br#"{"phase":"idle","since":"2026-11-29T11:00:00Z","reason":null}"#);
        assert_eq!(progress.boxes["shop-1"].used_until, None, "it came up then, and nobody used it");
    }
}
