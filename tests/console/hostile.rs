//! Boxes that send what they like: it is shown as text, and bounded.

use std::process::Command;

use serde_json::{Value, json};

use crate::site::{Broker, PREFIX, Site, no_faults, open_box, state, wait_for_boxes, wait_for_cell};
use crate::support::wait_until;

/// What would run, or break the page, if it were taken for more than text.
const NASTY: [&str; 8] = [
    "<img src=x onerror=\"window.pwned=1\">",
    "<script>window.pwned=1</script>",
    "\"><svg onload=window.pwned=1>",
    "javascript:window.pwned=1",
    "${window.pwned=1}",
    "</textarea><iframe srcdoc='<script>parent.pwned=1</script>'>",
    "\u{202e}evil\u{0000}\u{200b}\u{2028}",
    "constructor",
];

fn everywhere(text: &str) -> Vec<(&'static str, Value)> {
    let mut said = state("fault", false, Some(text));
    said["policy-version"] = json!(text);
    said["software"] = json!(text);
    said["epoch"] = json!(text);
    said["signed-commands"] = json!(text);
    said["warnings"] = json!([text, { text: text }]);
    let receipt = |what: &str| {
        let said = json!({ "box": what, "what": what, "at": what, "files": what, "kept": [{ "what": what, "until": what }, what] });
        format!("tallybox/receipt/v1\n{said}\n\n\u{2014} {what} {what}\n")
    };
    vec![
        ("state", said),
        (
            "telemetry",
            json!({ "throttled": text, "certificate-expires": text, "temperature-c": text, "fps": 1e300, "bitrate-kbps": -5 }),
        ),
        (
            "event",
            json!({ "id": format!("hostile-{text}"), "seq": 4, "at": text, "fact": { "kind": text, "why": text, "toString": text } }),
        ),
        (
            "event",
            json!({ "id": format!("hostile-2-{text}"), "seq": 5, "at": "2026-11-24T09:50:32Z",
            "fact": { "kind": "session-stopped", "session": text, "reason": text, "message": text } }),
        ),
        (
            "event",
            json!({ "id": format!("hostile-3-{text}"), "seq": 6, "at": null, "fact": { "kind": "identified", "fingerprint": { "a": text } } }),
        ),
        (
            "event",
            json!({ "id": format!("hostile-4-{text}"), "seq": 7, "at": null, "fact": { "kind": "erased", "files": text, "receipt": receipt(text) } }),
        ),
        (
            "config/reported",
            json!({ "for-version": text, "error": text, "keys": { text: { "value": { text: text }, "code": text, "text": text } } }),
        ),
        (
            "reply",
            json!({ "id": text, "verb": text, "ok": text, "error": text, "code": text, "progress": text, "state": text, "diagnosis": [text], "receipt": text }),
        ),
        ("reply", json!({ "id": text, "verb": text, "ok": true, "progress": text, "receipt": receipt(text) })),
    ]
}

#[test]
fn what_boxes_send_is_text_and_nothing_else() {
    let broker = Broker::start();
    broker.state("hostile", &state("idle", false, None));
    let site = Site::start(&broker);
    let browser = site.connect(&broker, "en", 1);
    open_box(&browser, "hostile");
    for text in NASTY {
        for (topic, payload) in everywhere(text) {
            broker.publish(&format!("hostile/{topic}"), payload.to_string().as_bytes(), false);
        }
    }
    // A release index and a document whose notes nobody signed are shown as what they say, and no more.
    let note = |kind: &str, value: &Value| format!("{kind}\n{value}\n\n— nobody AAAAAAAA\n");
    broker.publish(
        "release/stable",
        note("tallybox/release/v1", &json!({ "version": NASTY[0], "channel": NASTY[1] })).as_bytes(),
        true,
    );
    let desired = json!({ "box": "hostile", "version": 3, "values": { NASTY[0]: NASTY[1] } });
    broker.publish("hostile/config/desired", note("tallybox/desired/v1", &desired).as_bytes(), true);
    broker.publish("hostile/checkpoint", format!("{}\n7\nAAAA\n", NASTY[0]).as_bytes(), true);
    // A deep one, a long one, none that is UTF-8, none that is JSON, and shapes that are none.
    let deep = "[".repeat(5000) + &"]".repeat(5000);
    for payload in [deep.as_bytes(), &vec![b'x'; 60_000], b"\xff\xfe{}", b"{", b"[]", b"null", b"7", b"\"text\"", b""] {
        for topic in ["state", "telemetry", "event", "reply", "config/reported", "availability"] {
            broker.publish(&format!("hostile/{topic}"), payload, false);
        }
    }
    broker.state("hostile", &state("idle", false, Some("press")));
    wait_for_cell(&browser, "hostile", "Idle", "dark");
    browser.run("document.querySelectorAll('.panel details').forEach((each) => { each.open = true; });");
    wait_until("the last words are there", || {
        browser.value("document.querySelector('.panel table')?.textContent.includes('<img src=x onerror=')") == true
    });
    let strange = browser.value(
        "[...document.querySelectorAll('img, iframe, script:not([src]), svg:not(.spark), [onload], [onerror]')].map((each) => each.outerHTML)",
    );
    assert_eq!(strange, json!([]));
    assert_eq!(browser.value("window.pwned ?? null"), Value::Null);
    let marks = browser.value("/[\\u202a-\\u202e\\u200b\\u0000]/.test(document.body.textContent)");
    assert_eq!(marks, false, "nothing turns or hides the text beside it");
    let wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.value(wide), 0);
    // A receipt is shown as text; nobody signed it, and it can be saved under a plain name only.
    assert_eq!(browser.value("/^[\\w.-]+$/.test(document.querySelector('.receipt a').download)"), true);
    answers_to_ones_own_command(&browser, &broker);
    no_faults(&browser);
}

/// A box, or a broker, that answers with what it likes to a command that was really sent.
fn answers_to_ones_own_command(browser: &crate::browser::Browser, broker: &Broker) {
    for text in NASTY {
        let sent = broker.next("hostile/cmd/stop", || browser.click(".actions [data-verb=stop]"));
        let id = serde_json::from_str::<Value>(&sent).unwrap()["id"].clone();
        let answer =
            |ok: bool, more: &str| json!({ "id": id, "verb": text, "ok": ok, "error": text, "code": text, more: text });
        for (answer, status) in [(answer(true, "progress"), "progress"), (answer(false, "receipt"), "refused")] {
            broker.publish("hostile/reply", answer.to_string().as_bytes(), false);
            crate::site::wait_for_command(browser, "stop", status);
        }
    }
    assert_eq!(browser.value("window.pwned ?? null"), Value::Null);
    let strange = "document.querySelectorAll('.panel :is(img, iframe, script, svg)').length";
    assert_eq!(browser.value(strange), 0);
}

/// paho, with 20,000 topics that mean nothing, and more boxes than are shown.
const FLOOD: &str = "
import sys, paho.mqtt.client as mqtt
port, prefix = int(sys.argv[1]), sys.argv[2]
client = mqtt.Client(protocol=mqtt.MQTTv5) if not hasattr(mqtt, 'CallbackAPIVersion') else mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
client.max_inflight_messages_set(200)
client.connect('127.0.0.1', port)
client.loop_start()
last = None
for i in range(10000):
    client.publish(f'{prefix}/topic-{i}/state', '{\"phase\":3}', qos=0)
    client.publish(f'{prefix}/UPPER {i}/state', '{}', qos=0)
state = '{\"phase\":\"idle\",\"muted\":false,\"session\":null,\"since\":\"2026-11-24T09:50:32Z\",\"reason\":null}'
for i in range(6000):
    client.publish(f'{prefix}/box-{i}/state', state, qos=0)
last = client.publish(f'{prefix}/shop-1/state', state, qos=1)
last.wait_for_publish()
client.disconnect()
client.loop_stop()
";

#[test]
fn a_flood_is_bounded() {
    let broker = Broker::start();
    broker.state("shop-1", &state("live", false, None));
    let site = Site::start(&broker);
    let browser = site.connect(&broker, "en", 1);
    let mut flood = Command::new("/usr/bin/python3");
    assert!(flood.args(["-c", FLOOD, &broker.port.to_string(), PREFIX]).status().unwrap().success());
    wait_for_boxes(&browser, 5000);
    // It was there before: it is still heard.
    browser.run("const field = document.getElementById('search'); field.value = 'shop-1'; field.dispatchEvent(new Event('input'));");
    wait_for_cell(&browser, "shop-1", "Idle", "dark");
    let banner = browser.value("document.querySelector('.banner').textContent");
    let banner = banner.as_str().unwrap();
    assert!(
        banner.contains("more boxes than this page shows (5,000)") && banner.contains("20,000 messages were not"),
        "{banner}"
    );
    let nodes = browser.value("document.querySelectorAll('*').length").as_u64().unwrap();
    assert!(nodes < 3000, "{nodes} elements");
    no_faults(&browser);
}
