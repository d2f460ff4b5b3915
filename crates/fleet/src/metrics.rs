//! `metrics`: the fleet in Prometheus' text format. Labels have a fixed number of values, however many boxes there are.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use tallybox::exit::Exit;
use tallybox::runtime::ShutdownSignals;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::connection::{BrokerArgs, Connection, Heard, SessionKind};
use crate::fleet::{self, Fleet};

/// Longest request that is read, in bytes.
const MAX_REQUEST: usize = 8 * 1024;
/// How long a client may take.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients at once: one more is closed.
const MAX_CLIENTS: usize = 16;

/// What is served where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    broker: BrokerArgs,
    /// Where metrics are served; there is no password, so loopback unless the network is yours.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
}

/// Serves until it is told to end.
pub(crate) async fn run(args: &Args) -> Result<(), Exit> {
    let mut shutdown = ShutdownSignals::listen_in_terminal()?;
    let prefix = &args.broker.prefix;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| Exit::unavailable(format!("--listen {}: {error}", args.listen)))?;
    let address = listener.local_addr().map_err(|error| Exit::io(error.to_string()))?;
    let mut filters = fleet::filters(prefix);
    filters.push((format!("{prefix}/+/event"), QoS::AtMostOnce));
    let mut connection = Connection::open(&args.broker, filters, &SessionKind::Clean).await?;
    eprintln!("metrics at http://{address}/metrics");
    let (mut fleet, mut connected, mut clients) = (Fleet::default(), true, JoinSet::new());
    loop {
        tokio::select! {
            _ = shutdown.recv() => break,
            Some(_) = clients.join_next() => {}
            heard = connection.recv() => match heard {
                Heard::Connected => connected = true,
                Heard::Lost(why) => {
                    connected = false;
                    eprintln!("the connection is lost, and made again: {why}");
                }
                Heard::Message(message) => {
                    fleet.hear(prefix, &String::from_utf8_lossy(&message.topic), &message.payload);
                }
            },
            accepted = listener.accept() => if let Ok((client, _)) = accepted
                && clients.len() < MAX_CLIENTS
            {
                let body = render(&fleet, connected);
                clients.spawn(async move {
                    let _ = tokio::time::timeout(CLIENT_TIMEOUT, answer(client, body)).await;
                });
            },
        }
    }
    connection.close().await;
    Ok(())
}

async fn answer(mut client: TcpStream, body: String) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = client.read(&mut chunk).await?;
        if count == 0 || request.len() + count > MAX_REQUEST {
            return Ok(());
        }
        request.extend_from_slice(chunk.get(..count).unwrap_or_default());
    }
    let line = String::from_utf8_lossy(&request);
    let mut words = line.lines().next().unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, kind, body) = match (method, path.split('?').next().unwrap_or_default()) {
        ("GET" | "HEAD", "/metrics") => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", body),
        ("GET" | "HEAD", _) => ("404 Not Found", "text/plain", "metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "text/plain", "only GET\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        client.write_all(body.as_bytes()).await?;
    }
    client.shutdown().await
}

/// One family of metrics.
fn family<'s>(
    text: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: impl IntoIterator<Item = (&'s str, f64)>,
) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

#[allow(clippy::cast_precision_loss)] // counts of boxes and messages
fn render(fleet: &Fleet, connected: bool) -> String {
    let mut text = String::new();
    let labelled = |label: &str, value: &str| format!("{{{label}=\"{value}\"}}");
    let up = f64::from(u8::from(connected));
    family(&mut text, "tallybox_fleet_connected", "gauge", "Whether there is a connection to the broker.", [("", up)]);
    let counts: Vec<_> = fleet
        .availabilities()
        .into_iter()
        .map(|(one, count)| (labelled("availability", one.as_str()), count as f64))
        .collect();
    let samples = counts.iter().map(|(labels, count)| (labels.as_str(), *count));
    family(&mut text, "tallybox_fleet_boxes", "gauge", "Boxes by their availability.", samples);
    let counts: Vec<_> =
        fleet.phases().into_iter().map(|(phase, count)| (labelled("phase", phase), count as f64)).collect();
    let samples = counts.iter().map(|(labels, count)| (labels.as_str(), *count));
    family(&mut text, "tallybox_fleet_phase", "gauge", "Boxes that are online, by their phase.", samples);
    let sum = |value: &dyn Fn(&crate::fleet::BoxView) -> f64| fleet.boxes.values().map(value).sum::<f64>();
    let bitrate = sum(&|known| known.bitrate_kbps.map_or(0.0, |rate| f64::from(rate) * 1000.0));
    let hottest = fleet.boxes.values().filter_map(|known| known.temperature_c).fold(f32::NAN, f32::max);
    for (name, kind, help, value) in [
        ("tallybox_fleet_bitrate_bits_per_second", "gauge", "What all streams together send.", bitrate),
        (
            "tallybox_fleet_reduced_boxes",
            "gauge",
            "Boxes whose way to the server takes less than was configured.",
            sum(&|known| f64::from(u8::from(known.reduced))),
        ),
        (
            "tallybox_fleet_muted_boxes",
            "gauge",
            "Boxes that send no sound.",
            sum(&|known| f64::from(u8::from(known.muted))),
        ),
        (
            "tallybox_fleet_dropped_frames",
            "gauge",
            "Frames dropped in the sessions that are on.",
            sum(&|known| known.dropped_frames as f64),
        ),
        ("tallybox_fleet_hottest_celsius", "gauge", "The hottest processor; NaN where none tells.", f64::from(hottest)),
        ("tallybox_fleet_messages_total", "counter", "Messages of boxes.", fleet.messages as f64),
        ("tallybox_fleet_events_total", "counter", "Ledger events, repetitions included.", fleet.events as f64),
    ] {
        family(&mut text, name, kind, help, [("", value)]);
    }
    text
}
