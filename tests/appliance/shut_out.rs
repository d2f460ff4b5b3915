//! Who is not let in, by the shipped broker and by the box; and certificates that are renewed while a box is connected.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::line::Line;
use crate::shipped_broker::ShippedBroker;
use crate::support::test_box::TestBox;
use crate::support::{Program, free_port, wait_for, wait_until};

/// A certificate for an existing key, with an end of its own, and lists of what was revoked.
const MAKE: &str = r#"set -e
printf '[ca]\ndefault_ca=a\n[a]\ndatabase=index\nserial=serial\ncrlnumber=number\nnew_certs_dir=.\npolicy=p\ndefault_md=sha256\nunique_subject=no\n[p]\ncommonName=supplied\n[crl]\nauthorityKeyIdentifier=keyid\n' >ca.conf
: >index; echo 01 >serial; echo 01 >number
sign() { # KEY NAME FILE FROM UNTIL
  openssl req -new -key $1 -subj /CN=$2 -out $3.csr
  printf "basicConstraints=CA:FALSE\nsubjectAltName=DNS:$2\n" >ext
  openssl ca -batch -config ca.conf -notext -cert ca.pem -keyfile ca.key -in $3.csr -out $3.pem -startdate $4 -enddate $5 -extfile ext
}
day() { date -u -d "$1" +%Y%m%d%H%M%SZ; }
"#;

fn make(broker: &ShippedBroker, script: &str) {
    let made = broker.sh(&format!("{MAKE}{script}"));
    assert!(made.status.success(), "{made:?}");
}

/// What the broker answers to a CONNECT of shop-0002, in hex.
fn says(broker: &ShippedBroker, how: &str) -> String {
    let connect = r"printf '\x10\x16\0\x04MQTT\x05\x02\0\x3c\0\0\x09shop-0002'";
    let output = broker.sh(&format!(
        "({connect}; sleep 1) | timeout 10 openssl s_client -quiet -connect localhost:$PORT -CAfile ca.pem \
         -cert shop-0002.pem -key shop-0002.key {how} | head -c 4 | od -An -tx1"
    ));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn the_shipped_broker_lets_in_nobody_with_a_wrong_certificate() {
    let crl = [("#crlfile /etc/mosquitto/certs/ca.crl", "crlfile /etc/mosquitto/certs/ca.crl")];
    let mut broker = ShippedBroker::new(&["shop-0001", "shop-0002"], &crl);
    make(
        &broker,
        "sign shop-0001.key shop-0001 over $(day '-9 days') $(day '-1 day')
        sign shop-0001.key shop-0001 early $(day '+1 day') $(day '+9 days')
        openssl req -x509 -new -key shop-0001.key -subj /CN=shop-0001 -days 9 -out self.pem
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out x.key
        openssl req -x509 -new -key x.key -subj '/CN=tallybox authority for boxes' -days 9 -out x.pem
        openssl req -new -key shop-0001.key -subj /CN=shop-0001 | openssl x509 -req -CA x.pem -CAkey x.key -CAcreateserial -days 9 -out strange.pem
        openssl ca -config ca.conf -gencrl -crlexts crl -crldays 9 -cert ca.pem -keyfile ca.key -out ca.crl
        chmod 644 ca.crl",
    );
    broker.start();
    // With a TLS session to resume later.
    assert!(says(&broker, "-sess_out session").starts_with("20"), "a good one is let in");
    let publishes = |broker: &ShippedBroker, how: &str| {
        let output =
            broker.sh(&format!("timeout 20 mosquitto_pub -V 5 -q 1 -t tallybox/v1/shop-0001/state -m x {how}"));
        output.status.success()
    };
    let tls = |cert: &str| format!("-h localhost -p $PORT --cafile ca.pem --cert {cert}.pem --key shop-0001.key");
    assert!(publishes(&broker, &tls("shop-0001")), "a good one is let in");
    let operators = tls("shop-0001").replace("$PORT", "$OPERATORS");
    let operator_as_box = "-h localhost -p $PORT --cafile ca.pem --cert operator.pem --key operator.key";
    for how in [
        &*tls("over"),
        &tls("early"),
        &tls("self"),
        &tls("strange"),
        &operators,
        operator_as_box,
        // Without a certificate, also with a password; without TLS; and a broker by another name.
        "-h localhost -p $PORT --cafile ca.pem",
        "-h localhost -p $PORT --cafile ca.pem -u operator -P operator",
        "-h localhost -p $PORT",
        "-h localhost -p $OPERATORS",
        &tls("shop-0001").replace("localhost", "127.0.0.1"),
    ] {
        assert!(!publishes(&broker, how), "{how} was let in");
    }
    for (version, good) in [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let answer = says(&broker, &format!("{version} -cipher DEFAULT@SECLEVEL=0"));
        assert_eq!(answer.starts_with("20"), good, "{version}: {answer:?}");
    }
    // Withdrawn: by the list, after a restart also with a session of before.
    make(
        &broker,
        "openssl ca -config ca.conf -revoke shop-0002.pem -cert ca.pem -keyfile ca.key
        openssl ca -config ca.conf -gencrl -crlexts crl -crldays 9 -cert ca.pem -keyfile ca.key -out ca.crl",
    );
    broker.start();
    for how in ["", "-sess_in session"] {
        assert_eq!(says(&broker, how), "", "a revoked one, {how:?}");
    }
    assert!(publishes(&broker, &tls("shop-0001")), "the others are let in");
}

/// Starts an agent that logs to a file of its own, and waits until it says this.
#[track_caller]
fn agent_says(shop: &TestBox, said: &str) {
    let log = std::fs::File::create(shop.path("agent.log")).unwrap();
    let _program = Program::start(shop.command(&["agent"]).stderr(log));
    let text = || std::fs::read_to_string(shop.path("agent.log")).unwrap_or_default();
    let found = crate::support::poll(Duration::from_secs(60), || text().contains(said).then_some(()));
    assert!(found.is_some(), "{said:?} is not in: {}", text());
    assert!(!text().contains("connected to the broker"), "{}", text());
}

#[test]
fn a_box_connects_to_no_server_that_cannot_prove_who_it_is() {
    let broker = ShippedBroker::new(&["shop-0001"], &[]);
    broker.certify("server", "elsewhere");
    make(
        &broker,
        "sign localhost.key localhost over $(day '-9 days') $(day '-1 day')
        openssl ca -config ca.conf -valid localhost.pem -cert ca.pem -keyfile ca.key
        openssl ca -config ca.conf -revoke localhost.pem -cert ca.pem -keyfile ca.key
        openssl ca -config ca.conf -gencrl -crlexts crl -crldays 9 -cert ca.pem -keyfile ca.key -out ca.crl",
    );
    for (server, crl, said) in [
        ("-tls1_1 -cipher DEFAULT@SECLEVEL=0 -cert localhost.pem", false, "during the TLS handshake"),
        ("-cert over.pem", false, "not valid at this time"),
        ("-cert localhost.pem", true, "a certificate was revoked"),
        ("-cert shop-0001.pem -key shop-0001.key", false, "none for a server"),
        ("-cert elsewhere.pem -key elsewhere.key", false, "another name"),
    ] {
        let port = free_port();
        let key = if server.contains("-key") { "" } else { "-key localhost.key" };
        let mut command = Command::new("bash");
        let script = format!("exec openssl s_server -quiet -accept 127.0.0.1:{port} {server} {key}");
        command.args(["-c", &script]).current_dir(broker.path("certs")).stdout(Stdio::null()).stderr(Stdio::null());
        let _server = Program::start(command.stdin(Stdio::piped()));
        wait_until("the server answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        let shop = broker.test_box("shop-0001", port);
        if crl {
            let config = std::fs::read_to_string(&shop.config).unwrap();
            let line = format!("[mqtt]\ncrl-file = \"{}\"", broker.certificate("ca.crl"));
            std::fs::write(&shop.config, config.replace("[mqtt]", &line)).unwrap();
        }
        let _guard = shop.start("guard");
        agent_says(&shop, said);
    }
}

#[test]
fn a_renewed_certificate_counts_without_a_restart_and_short_cuts_resume_tls() {
    let mut broker = ShippedBroker::new(&["shop-0001"], &[]);
    make(
        &broker,
        "cp shop-0001.pem long.pem; sign shop-0001.key shop-0001 short $(day '-1 day') $(day '+80 seconds')
        cp short.pem shop-0001.pem; chmod 644 *.pem",
    );
    broker.start();
    let line = Line::new(broker.port);
    let shop = broker.test_box("shop-0001", line.port);
    let _guard = shop.start("guard");
    let _agent = shop.start_with("agent", "TALLYBOX_LOG", "debug");
    let count = |what: &str| shop.log().matches(what).count();
    let connected = |times: usize| {
        let seen =
            crate::support::poll(Duration::from_secs(90), || (count("connected to the broker") >= times).then_some(()));
        assert!(seen.is_some(), "connection {times}: {}", shop.log());
    };
    connected(1);
    // One less than what the agent takes for another client with its id.
    for round in 0..2 {
        line.cut();
        line.mend();
        connected(2 + round);
    }
    assert_eq!((count("TLS handshake: Some(Full)"), count("TLS handshake: Some(Resumed)")), (1, 2), "{}", shop.log());
    let heard = broker.path("heard");
    let script = format!(
        "exec mosquitto_sub -V 5 -h localhost -p {} --cafile ca.pem --cert operator.pem --key operator.key -F '%p' \
         -t tallybox/v1/shop-0001/availability >{heard}",
        broker.operators
    );
    let mut command = Command::new("bash");
    let _operator = Program::start(command.args(["-c", &script]).current_dir(broker.path("certs")));
    wait_until("the operator hears it", || std::fs::read_to_string(&heard).is_ok_and(|text| text.contains("online")));
    std::fs::rename(broker.certificate("long.pem"), broker.certificate("shop-0001.pem")).unwrap();
    wait_for("the new one is shown", Duration::from_secs(120), || {
        shop.log().contains("certificates were renewed").then_some(())
    });
    connected(4);
    assert_eq!(count("TLS handshake: Some(Full)"), 2, "another certificate, another session: {}", shop.log());
    wait_until("it says so", || std::fs::read_to_string(&heard).unwrap().lines().count() >= 2);
    let words = std::fs::read_to_string(&heard).unwrap();
    assert!(words.lines().all(|word| word == "online"), "{words}");
}
