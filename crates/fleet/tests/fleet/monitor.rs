//! What watches a fleet: `watch`, `metrics`, and `list` of very many boxes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::support::{Broker, lines, names, said, wait_until};

/// An answer over HTTP.
fn get(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn changes_are_told_as_json_and_figures_as_prometheus_reads_them() {
    let broker = Broker::start();
    let _boxes = broker.simulate(5, &[]);
    let watch = broker.spawn(&["watch", "--json"]);
    let mut metrics = broker.spawn(&["metrics", "--listen", "127.0.0.1:0"]);
    let first = metrics.said_line();
    let port = first.trim().trim_end_matches("/metrics").rsplit(':').next().unwrap().parse().unwrap();
    broker.retain("tallybox/v1/gone-1/availability", "offline");
    let has = |line: &str| get(port, "GET /metrics").lines().any(|known| known == line);
    wait_until("all are counted", || has("tallybox_fleet_boxes{availability=\"online\"} 5"));
    wait_until("one is away", || has("tallybox_fleet_boxes{availability=\"offline\"} 1"));
    wait_until("they are idle", || has("tallybox_fleet_phase{phase=\"idle\"} 5"));
    broker.run(&["request", "sim-0003"]);
    wait_until("one asks", || has("tallybox_fleet_phase{phase=\"requested\"} 1"));

    // The format: each family has its help and type, and the number of lines does not depend on the boxes.
    let answer = get(port, "GET /metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("text/plain; version=0.0.4"), "{head}");
    let families = body.lines().filter(|line| line.starts_with("# TYPE")).count();
    assert_eq!(body.lines().filter(|line| line.starts_with("# HELP")).count(), families);
    assert_eq!(body.lines().count(), 2 * families + 4 + 10 + (families - 2));
    assert!(get(port, "GET /other").starts_with("HTTP/1.1 404"));
    assert!(get(port, "POST /metrics").starts_with("HTTP/1.1 405"));
    assert_eq!(metrics.interrupt().status.code(), Some(0));

    let watched = watch.interrupt();
    assert_eq!(watched.status.code(), Some(0), "{}", said(&watched));
    let rows = lines(&watched);
    let fields = [
        "box",
        "availability",
        "phase",
        "since",
        "reason",
        "muted",
        "software",
        "epoch",
        "guard-uptime-s",
        "bitrate-kbps",
        "round-trip-ms",
        "temperature-c",
    ];
    assert_eq!(names(&rows[0]), fields);
    let asked = |row: &&serde_json::Value| row["box"] == "sim-0003" && row["phase"] == "requested";
    assert!(rows.iter().any(|row| asked(&row)), "{rows:?}");
}

/// Publishes retained states and availabilities of so many boxes over one connection.
fn retain_many(broker: &Broker, boxes: u32) {
    let text = |number: u32| {
        format!(
            "{{\"phase\":\"idle\",\"session\":null,\"since\":\"2026-11-29T10:00:00Z\",\"reason\":\"press\",\"muted\":false,\
             \"policy-version\":\"2022-07-11\",\"software\":\"tallybox 0.1.0\",\"epoch\":\"{number:032x}\",\"uptime-s\":7}}"
        )
    };
    let options = rumqttc::MqttOptions::new("retain-many", ("127.0.0.1", broker.port));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, mut eventloop) = rumqttc::AsyncClient::builder(options).capacity(100).build();
        let publish = async {
            for number in 0..boxes {
                let retained = || rumqttc::PublishOptions::at_most_once().retained();
                let topic = |name: &str| format!("tallybox/v1/many-{number:06}/{name}");
                client.publish(topic("availability"), "online", retained()).await.unwrap();
                client.publish(topic("state"), text(number), retained()).await.unwrap();
            }
            client.publish("done", "", rumqttc::PublishOptions::at_least_once()).await.unwrap();
        };
        let poll = async {
            loop {
                if let rumqttc::Event::Incoming(rumqttc::mqttbytes::v5::Packet::PubAck(_)) =
                    eventloop.poll().await.unwrap()
                {
                    return;
                }
            }
        };
        tokio::join!(publish, poll);
    });
}

/// All of a large fleet is listed, and each box costs less memory than its state is long.
#[test]
fn a_large_fleet_is_listed_whole_in_little_memory() {
    let boxes: u32 = if std::env::var_os("TALLYBOX_LONG").is_some() { 100_000 } else { 10_000 };
    let base = list_many(100);
    let peak = list_many(boxes);
    assert!(base > 0 && peak < base + boxes / 5, "{peak} KiB for {boxes} boxes, {base} KiB for 100");
    println!("{boxes} boxes listed, {peak} KiB at most; {base} KiB for 100");
}

/// Lists so many boxes, and returns the most memory that it took, in KiB.
fn list_many(boxes: u32) -> u32 {
    let broker = Broker::start();
    retain_many(&broker, boxes);
    let mut child = broker.fleet(&["list", "--json"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut count, mut peak) = (0, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        count += u32::from(line.unwrap().starts_with("{\"box\":\"many-"));
        if count % (boxes / 10) == 0 {
            peak = peak.max(peak_kib(child.id()));
        }
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(count, boxes);
    peak
}

/// The most memory that a process had so far, in KiB.
fn peak_kib(pid: u32) -> u32 {
    let status = Command::new("cat").arg(format!("/proc/{pid}/status")).output().unwrap();
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:").map(str::to_owned));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
